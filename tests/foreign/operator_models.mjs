// Validates objects of the Prometheus operator against its models, which are in the folder that the first argument names: a
// JSON list on stdin, errors on stdout, one per line.
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const folder = pathToFileURL(`${process.argv[2]}/@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/`);
for (const object of JSON.parse(readFileSync(0, "utf8"))) {
  const models = await import(new URL(`${object.kind}.js`, folder));
  try {
    new models[object.kind](object).validate();
  } catch (error) {
    console.log(`${object.kind} ${object.metadata.name}: ${error.message}`);
  }
}
