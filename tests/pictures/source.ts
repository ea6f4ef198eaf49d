// A data source over Prometheus' HTTP API, as Grafana's plugin queries it: steps, $__rate_interval, legends, tables.
import { DataFrame, FieldType, LoadingState, toDataFrame } from '@grafana/data';
import * as S from '@grafana/scenes';
import { from } from 'rxjs';

const SCRAPE = 15; // seconds
const api = (path: string, values: Record<string, string>) =>
  fetch(`/prometheus/api/v1/${path}?${new URLSearchParams(values)}`).then(async (response) => {
    const json = await response.json();
    if (json.status !== 'success') {
      throw new Error(`${json.error}: ${values.query ?? path}`);
    }
    return json.data;
  });
const several = (value: any) => (Array.isArray(value) ? (value.length > 1 ? `(${value.join('|')})` : value[0]) : String(value));
const filled = (text: string, scoped: any) => {
  const scene = scoped?.__sceneObject?.value?.valueOf?.();
  return scene ? S.sceneGraph.interpolate(scene, text, scoped, several) : text;
};
const named = (legend: string, metric: Record<string, string>) =>
  legend && legend !== '__auto' ? legend.replace(/\{\{\s*([^}]+?)\s*\}\}/g, (_, label) => metric[label] ?? '').trim() : '';
// Grafana rounds an interval to one of these (rangeutil.roundInterval), in seconds.
const ROUND = [1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600];

export class Prometheus {
  type = 'prometheus';
  name = 'prometheus';
  uid = 'prometheus';
  id = 1;
  meta: any = { id: 'prometheus', name: 'Prometheus', info: {} };
  pending = 0;

  query(request: any) {
    return from(this.run(request));
  }

  async run(request: any) {
    this.pending += 1;
    try {
      const [start, end] = [request.range.from, request.range.to].map((time: any) => time.valueOf() / 1000);
      const wanted = (end - start) / (request.maxDataPoints || 600);
      const step = Math.max(SCRAPE, ROUND.find((one) => one >= wanted) ?? 1200);
      const frames: DataFrame[] = [];
      for (const target of request.targets) {
        const rated = target.expr.replaceAll('$__rate_interval', `${Math.max(step + SCRAPE, 4 * SCRAPE)}s`);
        const query = filled(rated, request.scopedVars);
        const data = target.instant
          ? await api('query', { query, time: String(end) })
          : await api('query_range', { query, start: String(start), end: String(end), step: String(step) });
        frames.push(...(target.format === 'table' ? [table(target, data.result)] : data.result.map((one: any) => series(target, one, step))));
      }
      return { data: frames, state: LoadingState.Done };
    } finally {
      this.pending -= 1;
    }
  }

  async metricFindQuery(query: any, options: any) {
    this.pending += 1;
    try {
      const text = filled(typeof query === 'string' ? query : query.query, options?.scopedVars);
      const result = /^query_result\((.*)\)$/s.exec(text);
      const time = String(options.range.to.valueOf() / 1000);
      if (result) {
        const data = await api('query', { query: result[1], time });
        return data.result.map((one: any) => ({ text: `{${Object.entries(one.metric).map(([key, value]) => `${key}="${value}"`)}} ${one.value[1]}` }));
      }
      const [, selector, label] = /^label_values\((.*),\s*(\w+)\)$/s.exec(text)!;
      const found: string[] = await api(`label/${label}/values`, { 'match[]': selector });
      return found.map((value) => ({ text: value, value }));
    } finally {
      this.pending -= 1;
    }
  }

  async testDatasource() {
    return {};
  }

  getRef() {
    return { type: 'prometheus', uid: 'prometheus' };
  }
}

// Points at every step, null where there is none: a gap stays a gap.
function series(target: any, one: any, step: number): DataFrame {
  const { __name__, ...labels } = one.metric;
  const legend = named(target.legendFormat, one.metric);
  const points = one.values ?? [one.value];
  const times: number[] = [];
  const values: Array<number | null> = [];
  for (const [time, value] of points) {
    while (times.length && time * 1000 - times[times.length - 1] > step * 1000) {
      times.push(times[times.length - 1] + step * 1000);
      values.push(null);
    }
    times.push(time * 1000);
    values.push(Number(value));
  }
  return toDataFrame({
    refId: target.refId,
    name: legend,
    fields: [
      { name: 'Time', type: FieldType.time, values: times, config: { interval: step * 1000 } },
      { name: 'Value', type: FieldType.number, labels, config: { displayNameFromDS: legend || undefined }, values },
    ],
  });
}

function table(target: any, result: any[]): DataFrame {
  const labels = [...new Set(result.flatMap((one) => Object.keys(one.metric)))].filter((name) => name !== '__name__');
  return toDataFrame({
    refId: target.refId,
    fields: [
      { name: 'Time', type: FieldType.time, values: result.map((one) => one.value[0] * 1000) },
      ...labels.map((name) => ({ name, type: FieldType.string, values: result.map((one) => one.metric[name] ?? '') })),
      { name: `Value #${target.refId}`, type: FieldType.number, values: result.map((one) => Number(one.value[1])) },
    ],
  });
}
