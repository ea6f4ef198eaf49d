{{/* Where the service sends recommendations, weekly reviews and change events: its options, and the files of their secrets. */}}
{{- define "plimsoll.receiverArguments" -}}
{{- $url := .Values.service.url | default (ternary (printf "https://%s" .Values.ingress.host) "" .Values.ingress.enabled) }}
{{- with $url }}
- {{ printf "--service-url=%s" . | quote }}
{{- end }}
{{- with .Values.service.grafanaUrl }}
- {{ printf "--grafana-url=%s" . | quote }}
{{- end }}
{{- with .Values.service.webhookUrl }}
- {{ printf "--webhook-url=%s" . | quote }}
{{- end }}
{{- with .Values.service.review }}
{{- range .receivers }}
- {{ printf "--review-receiver=%s" . | quote }}
{{- end }}
{{- with .emailFrom }}
- {{ printf "--email-from=%s" . | quote }}
{{- end }}
{{- with .smtp.relay }}
- {{ printf "--smtp-relay=%s" . | quote }}
- --smtp-encryption={{ $.Values.service.review.smtp.encryption }}
{{- end }}
{{- with .smtp.user }}
- {{ printf "--smtp-user=%s" . | quote }}
{{- end }}
{{- end }}
{{- with .Values.service.changeEvents }}
{{- if .pagerdutyKey }}
- {{ printf "--pagerduty-key-file=/run/secrets/plimsoll/%s" .pagerdutyKey | quote }}
{{- with .url }}
- {{ printf "--pagerduty-change-url=%s" . | quote }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- define "plimsoll.receiverVariables" -}}
{{- $review := .Values.service.review }}
{{- $files := dict "PLIMSOLL_WEBHOOK_TOKEN_FILE" (ternary .Values.service.webhookTokenKey "" (ne .Values.service.webhookUrl "")) }}
{{- $_ := set $files "PLIMSOLL_SLACK_URL_FILE" (ternary $review.slackUrlKey "" (has "slack" $review.receivers)) }}
{{- $_ := set $files "PLIMSOLL_REVIEW_TOKEN_FILE" $review.tokenKey }}
{{- $_ := set $files "PLIMSOLL_SMTP_PASSWORD_FILE" (ternary $review.smtp.passwordKey "" (ne $review.smtp.user "")) }}
{{- range $name, $key := $files }}
{{- with $key }}
- {name: {{ $name }}, value: {{ printf "/run/secrets/plimsoll/%s" . | quote }}}
{{- end }}
{{- end }}
{{- end }}
