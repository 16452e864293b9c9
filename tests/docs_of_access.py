"""The page `docs/how-to/access.md`: its words, and the tables of rights and methods."""

import inspect
from collections.abc import Iterator

from scoring.entries.kinds.table import BY_COMMAND, KINDS
from service.access.rights import BOUND, METHODS, RIGHT_OF_KIND, Right, Scope

ACCESS = """
# Who may do what

A server that only this machine can reach (`SELLERTRUST_ADDRESS` on loopback) and that has no grants file lets every
caller do everything, as `local`. Anywhere else it needs `SELLERTRUST_GRANTS`: a file of who may do what. What it does not
grant is denied. It is read again when it changes; a file with an error in it is logged and the last good one stays in
force.

    [[issuers]]                                          # of bearer tokens; leave it out where certificates are enough
    issuer = "https://login.acme.example"
    audience = "sellertrust"
    keys = "https://login.acme.example/jwks.json"        # or a file beside this one
    algorithms = ["ES256", "RS256"]
    marketplaces = ["acme"]                              # its tokens say nothing about others
    # authorities = "our-ca.pem"                         # to trust when the keys are fetched; default: the system's

    [[grants]]
    principals = ["spiffe://acme.example/ns/*/sa/checkout"]
    rights = ["read_scores"]
    marketplaces = ["acme"]

    [[grants]]
    principals = ["dns:gateway.brand.example"]
    rights = ["append"]
    marketplaces = ["acme"]
    kinds = ["violation"]
    sources = ["brand"]
    notifiers = ["brand-17"]
    entry_ids = ["b17-"]

    [[grants]]
    principals = ["jwt:https://login.acme.example#*"]
    rights = ["read_ledger", "explain", "read_measures", "read_scores"]
    marketplaces = ["acme"]

    [[grants]]
    principals = ["spiffe://acme.example/ns/*/sa/review"]
    rights = ["decide", "read_ledger"]                   # some rights ask for a certificate: see below
    marketplaces = ["acme"]
    entry_ids = ["*"]
    actions = ["review", "confirm", "dismiss"]

    [end]                                                # the last line, so that half a file is none

`sellertrust access check FILE` reports every error in a file and shows what it grants; `sellertrust access show
--principal NAME` shows beside each method, and beside each kind of entries that needs another right, what it gives to one
caller. A file without its last line is refused, since a
limit that a slow copy has not written yet limits nothing; write a new file beside the old one and rename it.

A server that other machines can reach, and a call of it:

    export SELLERTRUST_ADDRESS=0.0.0.0:50051 SELLERTRUST_GRANTS=grants.toml
    export SELLERTRUST_TLS_CERTIFICATE=server.pem SELLERTRUST_TLS_KEY=server.key SELLERTRUST_TLS_CLIENT_CA=ca.pem
    sellertrust serve

    export SELLERTRUST_TARGET=trust.acme.example:50051 SELLERTRUST_TARGET_CA=ca.pem
    export SELLERTRUST_TARGET_CERTIFICATE=caller.pem SELLERTRUST_TARGET_KEY=caller.key     # or _TOKEN=caller.jwt
    sellertrust score s-1

In Python `Client(target, tls="ca.pem", certificate="caller.pem", key="caller.key")`, or `token="caller.jwt"`. Files are
read again when they change. `SELLERTRUST_TARGET=unix:/path` reaches a server by its socket. A caller's name goes into its
certificate's subject alternative name, as in `openssl req -new ... -addext
"subjectAltName=URI:spiffe://acme.example/ns/shop/sa/checkout"`.

## Who calls

| principal | is shown by |
|---|---|
| `spiffe://DOMAIN/PATH` | a client certificate whose one URI is a SPIFFE id |
| `uri:URI` | a client certificate with one other URI |
| `dns:NAME` | a client certificate with one DNS name and no URI |
| `jwt:ISSUER#SUBJECT` | a bearer token in the header `authorization` |
| `local` | whoever reaches a server on loopback without grants, or opens its Unix socket (`SELLERTRUST_SOCKET`, mode 0700) |

A certificate's common name is never read, nor a header by which a proxy forwards a certificate. A certificate with two
URIs, or with two DNS names and no URI, names nobody. Who shows a certificate and a token needs both granted. Health is
open to all, and so is reflection, by which tools such as grpcurl ask what the contract holds. That is on where this
machine alone reaches the server (and no mesh brings others' calls), if its package is there (`pip install
'sellertrust[reflection]'`); `SELLERTRUST_REFLECTION` turns it on elsewhere, or off.

Client certificates are asked for with `SELLERTRUST_TLS_CLIENT_CA`; then every caller needs one, whether it shows a token
besides or not. Without it tokens alone name callers. Behind a mesh that ends TLS, set `SELLERTRUST_MESH_TLS`: the server
speaks plain text, and tokens alone name callers, also on loopback, since sidecars come from there.

A token is a JSON Web Token, at most 8 KB and good for at most an hour, with `iss`, `aud`, `sub`, `iat`, `exp` and a key
id (`kid`) that the issuer publishes. Its algorithm must be that of the key and listed for the issuer. Clocks may differ
by 30 s. Keys of a URL are fetched beside the calls, every five minutes, and for an unknown key id at most once in 30 s:
publish a new key before it signs. A token that is bound to a certificate (`cnf` with `x5t#S256`) needs that certificate.
Since a token that was copied can be replayed, some rights ask for a certificate besides, which is granted the right too.
So nobody has these rights where tokens alone name callers, but by the Unix socket.

The log names callers by certificate in full, since these are services, and of a token the issuer and a pseudonym of the
subject (`jwt:https://login.acme.example#~0123456789abcdef`), which may be a person: the same for the same subject under
one `SELLERTRUST_PSEUDONYM_KEY`. `sellertrust access show --principal NAME` under that key shows how the log names a
caller. The ledger, the log of models and the audit file name callers in full.

A pattern of principals is exact but for a `*`, which stands for one whole segment: between the slashes of a URI, the dots
of a DNS name, the slashes or colons of a subject. Trust domains, hosts and issuers are always exact.

## The audit file

Each call that is let in by a right that asks for a certificate is written down before its work begins (`event` is
`call`), into `audit.jsonl` in the data folder or the file that `SELLERTRUST_AUDIT_FILE` names: time, caller, method,
rights, marketplace, and what it acts on, names, ids and actions and never texts, and by whose approval (proposal,
author, approvers); one JSON line, on disk. A second line (`end`) says what came
of it: the code, the sequence and counts, by the hash of the first. A call without one was under way when the server
ended. A call that cannot be written is refused with UNAVAILABLE and `AUDIT_UNAVAILABLE`. Reads of the ledger, of
measures, payouts and restitution, of proposals, and explanations are written too of whom the grants file names:

    [audit]
    readers = ["jwt:https://login.acme.example#*", "spiffe://acme.example/staff/*"]

`sellertrust access list-audit` shows it, by `AuditService`, to whom the right `audit` is granted. Each line holds a hash
over itself and the line before. `sellertrust access verify-audit` finds lines that were changed or left out; keep its
last hash where the server cannot write, or a file made anew goes unseen.
`SELLERTRUST_AUDIT_DAYS` cuts off older lines once a day: the first line then has the last hash that was cut off, and a
line of the chain says so besides, so that what somebody else cuts off is found. Servers on one machine may share a file. A
server that cannot have one does not start.

## Four eyes

Where the grants file says so, promotions (`models`), commits of policies (`policies`), overrides and the voiding of such
(`override`) and bulk decisions (`bulk_decide`) need two persons:

    [[persons]]
    person = "anna"                           # an id, the same for ever
    principals = ["spiffe://acme.example/user/anna", "dns:anna-laptop.acme.example"]    # whole names, all that are hers

    [[persons]]
    person = "bert"
    principals = ["spiffe://acme.example/user/bert"]

    [[four_eyes]]
    rights = ["models", "override", "bulk_decide"]
    marketplaces = ["*"]                      # with `models` and `policies` always ["*"]: they serve every marketplace
    hours = 24                                # until a proposal expires; 24 by default, 168 at most

    [[grants]]
    principals = ["spiffe://acme.example/user/*"]
    rights = ["models", "read_models", "override", "propose", "approve"]
    marketplaces = ["*"]
    entry_ids = ["*"]

Then such a call is refused with FAILED_PRECONDITION and `APPROVAL_REQUIRED`, unless it names an approved proposal of just
this request:

    sellertrust model promote challenger --reason "..." --actor a-1 --server trust.acme.example:50051 --propose     # Anna
    sellertrust proposal list --models                                                                  # Bert looks at it
    sellertrust proposal show proposals/7c1f0e9a4b2d
    sellertrust proposal approve proposals/7c1f0e9a4b2d --digest 5e884898da28 --actor b-2 --reason "..."
    sellertrust proposal carry-out proposals/7c1f0e9a4b2d                                               # who may do it itself

`policy commit ... --propose`, `violation decide-all ... --execute --propose` and `ledger append FILE --propose` propose the
others; in Python `ProposalClient` of `sellertrust.proposals`. A proposal is of the whole request, to the last field, by its
SHA-256, and whoever approves states that digest. So a promotion is proposed by the model's whole digest, a bulk decision
after its dry run, and overrides for one seller at a time. A promotion that the model's gates refuse cannot be proposed, nor
one of a damaged model, of one that gives up a promise, or of the champion. One is refused with `PROPOSAL_CLOSED` once
another model is champion, or its gates are others, than when it was proposed.

Whoever approves is granted `propose` as well, to look at proposals; it lets nobody propose what it may not do itself. With it
a caller sees, and may withdraw or decline, the proposals of what it may do itself and those that it may approve; any other
is for it as one that there is not. A request that is proposed already is answered by its open proposal; at most 100 of one
caller are open, and 1,000 of all.

Two different persons must stand behind a proposal: who proposed it, if that is a person, and those who approved it. Then
whoever is granted the call itself carries it out, also a third caller or a service: persons are counted, not who calls.
What a service proposes needs two approvals; a caller whom `persons` does not name is nobody, and so is one that shows
two persons at once. A token shows its person beside a certificate that is granted `approve` too, so grant that to no
service but one that shows its users' own tokens. Who stands behind it is asked when the call is made, by the grants
file then in force: who is no person any more, may approve no more, or may do no more itself what it proposed, counts no
more. A proposal that has expired or was withdrawn lets nothing in. The same call may be made again while the proposal
holds, and does nothing twice. A proposal that is withdrawn after a call was let in by it stays `used`: nothing is taken
back, and the same call is let in no more.

`RollbackModel` is an emergency, as `RollbackPolicy` is, and waits for nobody: it is logged as such, and stands in the
audit file. It goes back once; what it took back comes back by a promotion. `local` on the server's own socket, and
whoever may write to the registry or the database itself, need no proposal. Decisions one by one need none either: grant
`decide` accordingly.

Proposals and the moves of the policy are entries of the ledger, sealed as all others are. Their own methods alone append
them and list them. `sellertrust ledger verify` names the first that was changed or left out. A call is let in by a proposal
only while every entry since it was proposed is as it was sealed: the server proves that first. The audit file names the
digest of each proposal too, when it is proposed and when it is approved, and by whom. The request and all texts are sealed
under the key of the seller whom they are about, and erased with it.

## Limits of a caller

    [[limits]]
    principals = ["dns:*.brand.example"]      # each principal by itself
    classes = ["slow", "write", "stream"]     # of calls, counted together; default: all
    calls_per_second = 50
    entries_per_second = 2000
    streams = 2

Calls beyond are refused, before they are parsed, with RESOURCE_EXHAUSTED, `TOO_MANY_CALLS` and a RetryInfo that says when
the next one fits; a refusal uses up nothing of other limits, and a changed file goes on with what was used. Classes are
those for which the server keeps threads: `read` (GetTrustScore), `slow` (batches, violations, explanations, lists, measures,
the queue, bulk decisions, policies), `write`, `model` (models, the audit file), `stream`. A second's worth may come at
once; a larger batch of entries is taken when nothing else was. Where there are grants, `SELLERTRUST_CLIENT_STREAMS` counts
by principal. A call that shows two principals, a certificate and a token, counts for each. Every process counts for itself:
with `SELLERTRUST_PROCESSES` set to N, and with N servers, a caller has up to N times as much.

Wait as a refusal says: who asks on regardless is refused at once 20 times a second by each method; further calls are held
for a second or more, or until shortly before their deadline, and refused then. The same befalls whoever nothing lets in: a
caller who is granted nothing, or not the right of a method, and calls that show nothing, or a token, that proves nobody. Such
tokens use up the limits of the certificate beside them. Without a certificate they count together by host. Calls by known
tokens go on, and so does the first call of a connection. At most 500 held calls a second are refused: if more are held, each
is held for longer. With `SELLERTRUST_MESH_TLS` a connection is many callers', so bad tokens are the mesh's to hold back.

## Limits of a grant

| limit | of | default |
|---|---|---|
| `marketplaces` | every right | required; `*` for all |
| `sellers` | rights over sellers; of what concerns the whole marketplace see below | all |
| `kinds`, `sources`, `notifiers` | `append` | required where the kinds state them; a `notifier` that is left out needs `*` |
| `entry_ids` | whatever appends: how the ids that a caller chooses must begin | required; not `*` beside `sellers` |
| `actions` | `decide`, `bulk_decide`: the actions, and `attribution`, `incident` and `correction` | required |

Who may see some sellers of a marketplace is shown theirs alone by ListEntries, ListViolations, WatchEntries and
BatchGetTrustScores, which refuses each other seller by itself; whatever else concerns the whole marketplace is denied. A
link asks for both of its sellers, and a violation of a seller whom the entry does not name is as one that is not on record.
An entry id is unique in its marketplace, so give a caller of some sellers ids that begin in a way of its own.
A page token goes on for the caller to whom it was given, and while that one may see the same sellers.

Sequences count the entries of the whole ledger, and answers are stamped with them so that they can be replayed. So whoever
may see anything learns from entries, stamps and heartbeats how much the ledger as a whole grows, though not by whom. Where
that must stay hidden, give each marketplace a ledger of its own.

What a call asks for must be covered by one grant; grants do not add up within one entry. A batch is refused whole. A
refusal is UNAUTHENTICATED or PERMISSION_DENIED, comes before any work, and is the same whether the thing exists or not.
Streams are checked at every message, and every few seconds where there is none: a grant that is withdrawn, or a token
that expires, ends them. Who is granted nothing opens none. The refusal names the right that is missing (`right`): that of
the entry's kind, whichever method brings it.

Nobody decides its own report, but to withdraw it, nor corrects it, nor splits it off its incident, nor decides whether its
goods were somebody else's: a call by a principal that reported a violation, or the product that it follows from, or by
another principal of the same of `[[persons]]`, is PERMISSION_DENIED. That is asked when the entries are appended, by the
persons of the grants file then in force; `local` may do both. Complaints likewise.
"""

UNNAMED = {
    "audit file: a line deleted": "Of the last line alone: no later line holds its hash. Keep the last hash elsewhere.",
    "checkpoints: a line deleted": "Each line is signed by itself. Keep the file where the database's owner cannot write.",
    "checkpoints: a line twice": "It states the same again.",
    "checkpoints: a blank": "The values are signed, not the blanks between them.",
    "source_position": (
        "It says where the reading of a source goes on. Set back, entries are known by their ids. Set forward, entries are"
        " missing as if the source had not sent them: compare with the source's own count."
    ),
    "ledger_compatibility": "It says which releases may write. Whatever a release writes is sealed.",
    "log of models' moves: a line deleted": "Its lines have no seal. The audit file has each call that moved a model.",
    "log of models' moves: a line twice": "As above: the model moves to where it is.",
    "log of models' moves: a blank": "The move is the same.",
    "backup": "Of a byte in the archive's own headers: nothing that is restored rests on it.",
}
"""What verification does not name when somebody edits it, with why; `./dev bench access --only edits` makes the edits."""


def access_page() -> Iterator[str]:
    """Yield the lines of the page."""
    yield ACCESS.strip()
    yield ""
    yield "## Rights"
    yield ""
    yield "| right | what it gives | asks for a certificate |"
    yield "|---|---|---|"
    for right, text in _texts_of_rights().items():
        yield f"| `{right.value}` | {text} | {'yes' if right in BOUND else ''} |"
    yield ""
    yield "Entries need the right of their kind, whichever call brings them. Erasures and corrections of clocks are not"
    yield "appended: EraseSeller and MendClock make them. An auditor of some marketplaces lists what is about those; what"
    yield "concerns the server, and whether the file is whole, is for who may audit every marketplace."
    yield ""
    yield "| kind of entry | right |"
    yield "|---|---|"
    for kind, right in RIGHT_OF_KIND.items():
        if kind in BY_COMMAND:
            continue
        yield f"| `{KINDS[kind].key}` | `{right.value}` |"
    yield ""
    yield "## What verification names"
    yield ""
    yield "`ledger verify` names each edit of an entry, a seal or a key, and each row that was deleted. It does so for facts,"
    yield "policies and proposals alike. `access verify-audit` names each edit of the audit file, a restore each edit of a"
    yield "backup, and a server refuses a model with another byte. `./dev bench access --only edits` makes over 400 edits."
    yield "These it does not name:"
    yield ""
    yield "| what is edited | why it is not named |"
    yield "|---|---|"
    for what, why in UNNAMED.items():
        yield f"| {what} | {why} |"
    yield ""
    yield "## Methods"
    yield ""
    yield "| method | right | over |"
    yield "|---|---|---|"
    for method, row in METHODS.items():
        of_kind = ", or that of the entry's kind" if row.scope is Scope.ENTRIES else ""
        yield f"| `{method}` | `{row.right.value}`{of_kind} | {row.scope.value} |"


def _texts_of_rights() -> dict[Right, str]:
    """What each right gives, by the text under it."""
    source = inspect.getsource(Right)
    return {right: source.split(f'= "{right.value}"')[1].split('"""')[1].strip() for right in Right}
