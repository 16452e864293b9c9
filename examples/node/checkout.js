// A badge that never blocks a buyer, and a payout that waits without a fresh answer, with the reason of each error.
// python -m sellertrust.descriptors sellertrust.binpb && npm install && node checkout.js 127.0.0.1:50051 sellertrust.binpb shop lamps
import fs from "node:fs";
import grpc from "@grpc/grpc-js";
import loader from "@grpc/proto-loader";
import protobuf from "protobufjs";
import "protobufjs/ext/descriptor/index.js";

const [target, descriptors, marketplace, seller] = process.argv.slice(2);
const contract = fs.readFileSync(descriptors); // ours, and google.rpc's for the details of errors; names are as in the contract
const options = { enums: String, longs: String, defaults: true };
const { TrustScoreService } = grpc.loadPackageDefinition(loader.loadFileDescriptorSetFromBuffer(contract, options)).sellertrust.v1;
const messages = protobuf.Root.fromDescriptor(contract);
const client = new TrustScoreService(target, grpc.credentials.createInsecure());

/** Return an error's status, its stable reason with data, and the wrong fields of the request. */
export function decode(error) {
  const found = { code: grpc.status[error.code], message: error.details, reason: "", metadata: {}, fields: [] };
  const [bytes] = error.metadata?.get("grpc-status-details-bin") ?? [];
  if (!bytes) return found;
  for (const { type_url, value } of messages.lookupType("google.rpc.Status").decode(bytes).details) {
    const name = type_url.split("/").pop();
    const detail = messages.lookupType(name).decode(value);
    if (name === "google.rpc.ErrorInfo") {
      const metadata = Object.fromEntries(detail.metadata.map(({ key, value }) => [key, value]));
      Object.assign(found, { reason: detail.reason, metadata });
    }
    if (name === "google.rpc.BadRequest") found.fields = detail.field_violations.map((one) => [one.field, one.description]);
  }
  return found;
}

function ask(request, milliseconds) {
  return new Promise((resolve, reject) => {
    const deadline = Date.now() + milliseconds;
    client.GetTrustScore(request, { deadline }, (error, answer) => (error ? reject(decode(error)) : resolve(answer.trust_score)));
  });
}

const name = `marketplaces/${marketplace}/sellers/${seller}`;
const badge = await ask({ seller: name }, 1000).then((score) => score.badge, () => "unknown");
const payout = await ask({ seller: name, max_staleness: { seconds: 0 } }, 5000).then(
  (score) => ({ tier: score.tier, state: score.freshness.state }),
  (error) => ({ hold: error }),
);
console.log(JSON.stringify({ badge, payout, wrong: await ask({ seller: "lamps" }, 5000).catch((error) => error) }));
client.close();
