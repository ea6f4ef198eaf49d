// The panel types that our dashboards use, over the visualisations of @grafana/ui. Grafana's own panel plugins are not on npm;
// the state timeline and the table are drawn here, with
// the states, colors and texts that @grafana/data computes.
import * as D from '@grafana/data';
import { PanelPlugin, getFieldDisplayValues } from '@grafana/data';
import * as UI from '@grafana/ui';

const CUSTOM = ['drawStyle', 'lineWidth', 'lineStyle', 'fillOpacity', 'lineInterpolation', 'showPoints', 'pointSize', 'spanNulls', 'stacking',
  'thresholdsStyle', 'axisPlacement', 'axisLabel', 'axisBorderShow', 'axisSoftMin', 'axisSoftMax', 'scaleDistribution', 'hideFrom', 'cellOptions', 'align'];
const DEFAULTS: Record<string, any> = { drawStyle: 'line', lineWidth: 1, fillOpacity: 0, showPoints: 'auto', pointSize: 5 };
const none = (props: any) => <div style={{ color: '#9a9fa6', display: 'grid', placeItems: 'center', height: '100%', textAlign: 'center' }}>
  {props.fieldConfig?.defaults?.noValue || 'No data'}</div>;
const seen = (props: any) => props.data.series.some((frame: D.DataFrame) => frame.length > 0);

const TimeSeries = (props: any) => seen(props)
  ? <UI.TimeSeries frames={props.data.series} structureRev={props.data.structureRev} timeRange={props.timeRange}
      timeZone="utc" width={props.width} height={props.height} replaceVariables={(text: string) => text}
      legend={{ showLegend: true, displayMode: 'list' as any, placement: 'bottom', calcs: [], ...props.options?.legend }}>{(() => null) as any}</UI.TimeSeries>
  : none(props);

const Stat = (props: any) => {
  const theme = UI.useTheme2();
  if (!seen(props)) return none(props);
  const values = getFieldDisplayValues({ fieldConfig: props.fieldConfig, reduceOptions: { calcs: ['lastNotNull'], values: false, ...props.options?.reduceOptions },
    replaceVariables: props.replaceVariables, theme, data: props.data.series, timeZone: 'utc' });
  return <UI.VizRepeater getValues={() => values} width={props.width} height={props.height} source={props.data} orientation={D.VizOrientation.Auto} autoGrid={true}
    itemSpacing={3} renderValue={({ value, width, height, count }: any) => <UI.BigValue value={value.display} count={count} width={width} height={height} theme={theme}
      colorMode={props.options?.colorMode || 'value'} graphMode={'none' as any} justifyMode={'auto' as any} textMode={props.options?.textMode || 'auto'} />} />;
};

// @grafana/ui's table needs more of Grafana than is on npm; the cells are Grafana's own texts and colors.
const Table = (props: any) => {
  if (!seen(props)) return none(props);
  const frame: D.DataFrame = props.data.series[0];
  const fields = frame.fields.filter((field) => field.type !== D.FieldType.time);
  const cell = (field: D.Field, row: number) => {
    const shown = field.display!(field.values[row]);
    const colored = field.config.custom?.cellOptions?.type === 'color-text';
    return <td key={field.name} style={{ padding: '5px 12px', color: colored ? shown.color : undefined, borderTop: '1px solid #2d2f36' }}>{D.formattedValueToString(shown)}</td>;
  };
  return <table style={{ width: '100%', textAlign: 'right' }}>
    <thead><tr>{fields.map((field) => <th key={field.name} style={{ padding: '5px 12px', textAlign: 'right' }}>{D.getFieldDisplayName(field, frame)}</th>)}</tr></thead>
    <tbody>{Array.from({ length: frame.length }, (_, row) => <tr key={row}>{fields.map((field) => cell(field, row))}</tr>)}</tbody>
  </table>;
};

// One row per series, one block per stretch of equal state; a gap stays empty.
const StateTimeline = (props: any) => {
  if (!seen(props)) return none(props);
  const [start, end] = [props.timeRange.from.valueOf(), props.timeRange.to.valueOf()];
  const rows = props.data.series.map((frame: D.DataFrame) => {
    const [time, value] = [frame.fields[0], frame.fields[1]];
    const blocks: any[] = [];
    value.values.forEach((one: any, index: number) => {
      const at = time.values[index];
      const until = time.values[index + 1] ?? Math.min(end, at + (time.config.interval ?? 30000));
      if (one === null || one === undefined) return;
      const last = blocks[blocks.length - 1];
      if (last && last.value === one && last.until === at) last.until = until;
      else blocks.push({ value: one, at, until, shown: value.display!(one) });
    });
    return { name: D.getFieldDisplayName(value, frame, props.data.series), blocks };
  });
  const ticks = Array.from({ length: 7 }, (_, index) => start + ((end - start) * (index + 0.5)) / 7);
  const label = Math.min(props.width * 0.4, 14 + 7.6 * Math.max(...rows.map((row: any) => row.name.length)));
  const height = Math.min(34, (props.height - 22) / rows.length);
  const x = (time: number) => label + ((props.width - label) * (time - start)) / (end - start);
  return <svg width={props.width} height={props.height} fontSize={Math.min(12, height * 0.8)} fill="#ccccdc">
    {rows.map((row: any, index: number) => <g key={index} transform={`translate(0 ${index * height})`}>
      <text x={label - 8} y={height / 2 + 4} textAnchor="end">{row.name}</text>
      {row.blocks.map((one: any, key: number) => <g key={key}>
        <rect x={x(one.at)} width={Math.max(1, x(one.until) - x(one.at))} y={height * 0.1} height={height * 0.8} fill={one.shown.color} />
        {x(one.until) - x(one.at) > one.shown.text.length * 8 && height > 11 &&
          <text x={x(one.at) + 5} y={height / 2 + 4} fill="#111">{one.shown.text}</text>}
      </g>)}
    </g>)}
    {ticks.map((time) => <text key={time} x={x(time)} y={props.height - 6} textAnchor="middle" fontSize={12}>{new Date(time).toISOString().slice(11, 16)}</text>)}
  </svg>;
};

const editor = (id: string, process: any = D.identityOverrideProcessor, defaultValue?: any): any =>
  ({ id, path: id, name: id, category: [], editor: () => null, override: () => null, process, shouldApply: () => true, settings: {}, defaultValue, description: '' });

function plugin(id: string, component: any): any {
  const made: any = new PanelPlugin(component);
  made.meta = { id, name: id, info: { logos: { small: '', large: '' }, author: { name: '' }, links: [], screenshots: [], updated: '', version: '0' }, type: 'panel', module: '', baseUrl: '', sort: 1 };
  made.useFieldConfig({ useCustomConfig: (builder: any) => CUSTOM.forEach((key) => builder.addCustomEditor({ ...editor(key, undefined, DEFAULTS[key]), category: ['Custom'] })) });
  return made;
}

// Names that Grafana registers for standard field settings, and the transformations that our tables use.
export function register() {
  D.standardFieldConfigEditorRegistry.setInit(() => [editor('unit', D.unitOverrideProcessor), editor('min', D.numberOverrideProcessor), editor('max', D.numberOverrideProcessor),
    editor('decimals', D.numberOverrideProcessor), editor('displayName', D.displayNameOverrideProcessor), editor('color', undefined, { mode: 'palette-classic' }),
    editor('noValue'), editor('links', D.dataLinksOverrideProcessor), editor('mappings', D.valueMappingsOverrideProcessor, []),
    editor('thresholds', D.thresholdsOverrideProcessor, { mode: 'absolute', steps: [{ value: -Infinity, color: 'green' }] }), editor('filterable')] as any);
  D.standardEditorsRegistry.setInit(() => [] as any);
  D.standardTransformersRegistry.setInit(() => [D.standardTransformers.mergeTransformer, D.standardTransformers.organizeFieldsTransformer].map((one: any) =>
    ({ id: one.id, editor: () => null, transformation: async () => one, name: one.name, description: '' })) as any);
}

export const PLUGINS: Record<string, any> = {
  timeseries: plugin('timeseries', TimeSeries),
  stat: plugin('stat', Stat),
  table: plugin('table', Table),
  'state-timeline': plugin('state-timeline', StateTimeline),
};
