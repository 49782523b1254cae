{{- define "connector-hub.monitoring" -}}
{{- $it := . -}}
{{- if $it.entry.serviceMonitor.enabled }}
---
apiVersion: monitoring.coreos.com/v1
kind: ServiceMonitor
metadata:
  name: {{ $it.fullname }}
  namespace: {{ $it.root.Release.Namespace | quote }}
  labels:
    {{- merge dict ($it.entry.serviceMonitor.labels | default dict) (include "connector-hub.labels" $it | fromYaml) | toYaml | nindent 4 }}
spec:
  namespaceSelector:
    matchNames: [{{ $it.root.Release.Namespace | quote }}]
  selector:
    {{- if $it.entry.autoscaling.enabled }}
    # Its scaler, too.
    matchLabels:
      {{- omit (include "connector-hub.selector" $it | fromYaml) "app.kubernetes.io/component" | toYaml | nindent 6 }}
    matchExpressions:
      - key: app.kubernetes.io/component
        operator: In
        values: [{{ $it.name | quote }}, {{ printf "%s-scaler" $it.name | quote }}]
    {{- else }}
    matchLabels:
      {{- include "connector-hub.selector" $it | nindent 6 }}
    {{- end }}
  endpoints:
    - port: metrics
      path: /metrics
      interval: {{ $it.entry.serviceMonitor.interval | quote }}
{{- end }}
{{- end -}}
