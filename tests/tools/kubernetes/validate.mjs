// Validates objects (a JSON list in a file) against the schemas of their custom resources: patterns, required fields, types.
import { readFileSync } from "node:fs";
import * as keda from "@kubernetes-models/keda/keda.sh/v1alpha1";
import * as v1 from "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1";
import * as v1alpha1 from "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1alpha1";

const kinds = { "monitoring.coreos.com/v1": v1, "monitoring.coreos.com/v1alpha1": v1alpha1, "keda.sh/v1alpha1": keda };
for (const object of JSON.parse(readFileSync(process.argv[2], "utf8"))) {
  try {
    new kinds[object.apiVersion][object.kind](object).validate();
  } catch (error) {
    console.log(`${object.kind} ${object.metadata.name}: ${error.message}`);
  }
}
