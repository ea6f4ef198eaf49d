// Draws one dashboard's JSON with Grafana's component libraries. window.DASHBOARD, FROM, TO (ISO), CHOSEN (variable -> value)
// and BANNER come from the page.
import { EventBusSrv, LoadingState, ThemeContext, createTheme } from '@grafana/data';
import * as RT from '@grafana/runtime';
import * as S from '@grafana/scenes';
import * as UI from '@grafana/ui';
import { createRoot } from 'react-dom/client';
import { MemoryRouter } from 'react-router-dom';
import { Observable, from } from 'rxjs';
import { PLUGINS, register } from './panels';
import { Prometheus } from './source';

const given = window as any;
const dashboard = given.DASHBOARD;
const prometheus: any = new Prometheus();
const source = { type: 'prometheus', uid: 'prometheus' };
const instance: any = { ...source, name: 'prometheus', meta: prometheus.meta, isDefault: true, jsonData: {} };
given.report = { errors: [], empty: [] };

register();
RT.setDataSourceSrv({ get: async () => prometheus, getList: (filter: any) => (filter?.pluginId === 'tempo' ? [] : [instance]), getInstanceSettings: () => instance, reload() {} } as any);
RT.setRunRequest(((_: any, request: any) => new Observable((seen: any) => {
  seen.next({ state: LoadingState.Loading, series: [], timeRange: request.range });
  const running = prometheus.query(request).subscribe({
    next: (response: any) => seen.next({ state: LoadingState.Done, series: response.data, timeRange: request.range, request, annotations: [] }),
    error: (error: any) => { given.report.errors.push(String(error)); seen.next({ state: LoadingState.Error, series: [], error: { message: String(error) }, timeRange: request.range }); seen.complete(); },
    complete: () => seen.complete(),
  });
  return () => running.unsubscribe();
})) as any);
RT.setTemplateSrv({ replace: (text: string) => text ?? '', getVariables: () => [], containsTemplate: () => false, updateTimeRange() {} } as any);
RT.setAppEvents(new EventBusSrv() as any);
RT.setEchoSrv({ addEvent() {}, addBackend() {}, flush() {} } as any);
RT.setBackendSrv({ fetch: () => from([]), get: async () => ({}), post: async () => ({}) } as any);
RT.setReturnToPreviousHook?.(() => () => {});
RT.setPluginLinksHook?.(() => ({ links: [], isLoading: false }) as any);
RT.setPluginComponentsHook?.(() => ({ components: [], isLoading: false }) as any);
RT.setPluginImportUtils({ importPanelPlugin: async (id: string) => PLUGINS[id], getPanelPluginFromCache: (id: string) => PLUGINS[id] } as any);
const theme = createTheme({ colors: { mode: 'dark' } });
(RT.config as any).theme2 = theme;
(RT.config as any).theme = theme.v1;

const variables = dashboard.templating.list.map((one: any) => {
  const base = { name: one.name, label: one.label };
  if (one.type === 'datasource') return new S.ConstantVariable({ ...base, value: one.query === 'tempo' ? '' : 'prometheus', hide: 2 as any });
  if (one.type === 'custom') return new S.CustomVariable({ ...base, query: one.query, isMulti: true, includeAll: true, defaultToAll: true, allValue: one.allValue, value: '$__all', text: 'All' });
  return new S.QueryVariable({ ...base, datasource: source, query: { query: one.query, refId: 'v' } as any, regex: one.regex, isMulti: true, includeAll: true, defaultToAll: true,
    allValue: one.allValue, ...(given.CHOSEN[one.name] ? { value: [given.CHOSEN[one.name]], text: [given.CHOSEN[one.name]], defaultToAll: false } : { value: '$__all', text: 'All' }) });
});
const data = (panel: any) => {
  const runner = new S.SceneQueryRunner({ datasource: source, queries: panel.targets.map((one: any) => ({ ...one, datasource: source })) });
  return panel.transformations ? new S.SceneDataTransformer({ $data: runner, transformations: panel.transformations }) : runner;
};
const children = dashboard.panels.map((panel: any) => panel.type === 'row'
  ? new S.SceneGridRow({ key: `row-${panel.id}`, title: panel.title, y: panel.gridPos.y, isCollapsed: false, children: [] })
  : new S.SceneGridItem({ key: `item-${panel.id}`, x: panel.gridPos.x, y: panel.gridPos.y, width: panel.gridPos.w, height: panel.gridPos.h,
      body: new S.VizPanel({ key: `panel-${panel.id}`, title: panel.title, description: panel.description, pluginId: panel.type, options: panel.options || {},
        fieldConfig: { defaults: panel.fieldConfig.defaults, overrides: panel.fieldConfig.overrides }, $data: data(panel) }) }));
const scene = new S.EmbeddedScene({
  $timeRange: new S.SceneTimeRange({ from: given.FROM, to: given.TO, timeZone: 'utc' }),
  $variables: new S.SceneVariableSet({ variables }),
  controls: [new S.VariableValueSelectors({})],
  body: new S.SceneGridLayout({ isDraggable: false, isResizable: false, isLazy: false, children }),
});

// Settled: every panel has its data, and no query has run for several polls.
let quiet = 0;
const panels = () => S.sceneGraph.findAllObjects(scene, (one: any) => one instanceof S.VizPanel) as S.VizPanel[];
given.settled = () => {
  const states = panels().map((one) => S.sceneGraph.getData(one).state.data);
  const done = prometheus.pending === 0 && states.every((one) => one?.state === LoadingState.Done || one?.state === LoadingState.Error);
  quiet = done ? quiet + 1 : 0;
  given.report.empty = panels().filter((one, index) => !states[index]?.series.length).map((one) => one.state.title);
  return quiet > 6;
};
window.addEventListener('unhandledrejection', (event) => given.report.errors.push(String((event as any).reason?.stack || (event as any).reason).slice(0, 400)));

const bottom = Math.max(...dashboard.panels.map((panel: any) => panel.gridPos.y + panel.gridPos.h));
document.getElementById('root')!.style.height = `${bottom * 38 + 120}px`;
createRoot(document.getElementById('root')!).render(
  <MemoryRouter><RT.LocationServiceProvider service={RT.locationService}><ThemeContext.Provider value={theme}>
    <UI.GlobalStyles /><UI.PortalContainer />
    <div style={{ padding: '10px 16px 0', fontSize: 15 }}><b>{dashboard.title}</b> <span style={{ color: '#E69F00' }}>{given.BANNER}</span></div>
    <scene.Component model={scene} />
  </ThemeContext.Provider></RT.LocationServiceProvider></MemoryRouter>,
);
