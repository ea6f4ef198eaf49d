{{/* Authenticates people by OIDC and names them in a header, which the service trusts from its own pod alone. */}}
{{- define "plimsoll.oauth2Proxy" -}}
{{- $secret := .Values.ingress.oidc.secretName }}
- name: oauth2-proxy
  image: {{ .Values.ingress.oidc.image | quote }}
  args:
    - --provider=oidc
    - {{ printf "--oidc-issuer-url=%s" .Values.ingress.oidc.issuerUrl | quote }}
    - {{ printf "--redirect-url=https://%s/oauth2/callback" .Values.ingress.host | quote }}
    - --http-address=0.0.0.0:4180
    - --upstream=http://127.0.0.1:{{ .Values.service.port }}/
    - --reverse-proxy=true
    - --skip-provider-button=true
    - --skip-auth-route=GET=^/(runbooks|static/)
    {{- range .Values.ingress.oidc.emailDomains }}
    - {{ printf "--email-domain=%s" . | quote }}
    {{- end }}
  env:
    {{- range tuple "client-id" "client-secret" "cookie-secret" }}
    - {name: OAUTH2_PROXY_{{ . | upper | replace "-" "_" }}, valueFrom: {secretKeyRef: {name: {{ $secret | quote }}, key: {{ . }}}}}
    {{- end }}
  ports: [{name: login, containerPort: 4180}]
  readinessProbe: {httpGet: {path: /ping, port: login}}
  resources: {requests: {cpu: 10m, memory: 32Mi}, limits: {memory: 128Mi}}
  securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
{{- end }}
