{{/* Names and labels, of one part where `part` is given: (dict "top" $ "part" "exporter"). */}}
{{- define "plimsoll.name" -}}
{{- if contains "plimsoll" .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{ else }}{{ printf "%s-plimsoll" .Release.Name | trunc 40 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "plimsoll.selector" -}}
app.kubernetes.io/name: plimsoll
app.kubernetes.io/instance: {{ .top.Release.Name }}
app.kubernetes.io/component: {{ .part }}
{{- end }}

{{- define "plimsoll.labels" -}}
{{ include "plimsoll.selector" . }}
app.kubernetes.io/version: {{ .top.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .top.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .top.Chart.Name .top.Chart.Version | quote }}
{{- end }}

{{- define "plimsoll.image" -}}
{{ printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) | quote }}
{{- end }}

{{/* Number of service pods. SQLite is one file of one pod. */}}
{{- define "plimsoll.replicas" -}}
{{- $database := .Values.service.database.host }}
{{- $replicas := .Values.service.replicas | int }}
{{- if and (gt $replicas 1) (not $database) }}{{ fail (printf "service.replicas: %d pods can't share SQLite. Set service.database.host, or service.replicas: 1." $replicas) }}{{ end }}
{{- $replicas | default (ternary 2 1 (ne $database "")) }}
{{- end }}

{{/* Secrets as files that their group may read, and nobody else. */}}
{{- define "plimsoll.secretVolume" -}}
- name: secrets
  secret: {secretName: {{ .Values.secretName | quote }}, defaultMode: 288} # 0440
{{- end }}

{{- define "plimsoll.objectivesVolume" -}}
- name: objectives
  configMap: {name: {{ include "plimsoll.name" . }}-objectives}
{{- end }}

{{/* A changed objectives file restarts the pods. */}}
{{- define "plimsoll.checksum" -}}
checksum/objectives: {{ .Files.Get "files/objectives.yaml" | sha256sum }}
{{- end }}
