from scoring.answers.whole import WholeAnswer
from sellertrust.v1 import answer_service_pb2 as answer_pb
from sellertrust.v1 import measure_service_pb2 as measure_pb
from service.contract.audiences import measures_for_seller, score_for_seller
from service.contract.measures import measures_message
from service.contract.scores import score_message, stamp_message


def simulation_message(
    name: str, present: WholeAnswer, simulated: WholeAnswer, *, for_seller: bool
) -> answer_pb.SimulateTrustScoreResponse:
    """Return the answer now and the simulated one, without what sellers must not see if it is `for_seller`."""
    scores, measures = [], []
    for one in (present, simulated):
        score, found = score_message(name, one.score, None), unstamped_measures(name, one)
        scores.append(score_for_seller(score) if for_seller else score)
        measures.append(measures_for_seller(found) if for_seller else found)
    return answer_pb.SimulateTrustScoreResponse(
        seller=name,
        present=scores[0],
        simulated=scores[1],
        present_measures=measures[0],
        simulated_measures=measures[1],
        basis=stamp_message(present.stamp),
    )


def unstamped_measures(name: str, found: WholeAnswer) -> measure_pb.EvaluateMeasuresResponse:
    message = measures_message(name, found.in_force, found.policy, found.stamp)
    message.ClearField("stamp")
    return message
