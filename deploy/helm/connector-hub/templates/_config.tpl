{{- define "connector-hub.config" -}}
{{- $it := . -}}
---
apiVersion: v1
kind: ConfigMap
metadata:
  {{- include "connector-hub.metadata" $it | nindent 2 }}
data:
  hub.yaml: |
    {{- toYaml $it.yaml | nindent 4 }}
{{- with $it.entry.literals }}
---
apiVersion: v1
kind: Secret
metadata:
  {{- include "connector-hub.metadata" $it | nindent 2 }}
type: Opaque
stringData:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}
