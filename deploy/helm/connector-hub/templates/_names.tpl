{{- define "connector-hub.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/* Of the release; what belongs to a connector adds its name. */}}
{{- define "connector-hub.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains (include "connector-hub.name" .) .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "connector-hub.name" .) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* What a selector goes by; never changes. Takes what connector-hub.connectors yields. */}}
{{- define "connector-hub.selector" -}}
app.kubernetes.io/name: {{ include "connector-hub.name" .root | quote }}
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
app.kubernetes.io/component: {{ .name | quote }}
{{- end -}}

{{- define "connector-hub.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{ include "connector-hub.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
{{- end -}}

{{- define "connector-hub.metadata" -}}
name: {{ .fullname }}
namespace: {{ .root.Release.Namespace | quote }}
labels:
  {{- include "connector-hub.labels" . | nindent 2 }}
{{- end -}}

{{- define "connector-hub.account" -}}
{{- .entry.serviceAccount.name | default .fullname -}}
{{- end -}}

{{- define "connector-hub.image" -}}
{{- $image := .root.Values.image -}}
{{ $image.repository }}{{ ternary (printf "@%s" $image.digest) (printf ":%s" ($image.tag | default .root.Chart.AppVersion)) (not (empty $image.digest)) }}
{{- end -}}

{{/* Whole seconds of a Go duration, rounded up: 1m30s -> 90. */}}
{{- define "connector-hub.seconds" -}}
{{- $ms := 0.0 -}}
{{- $units := dict "h" 3600000.0 "m" 60000.0 "s" 1000.0 "ms" 1.0 "us" 0.001 "µs" 0.001 "μs" 0.001 "ns" 0.000001 -}}
{{- range regexFindAll "[0-9.]+(ms|us|µs|μs|ns|h|m|s)" . -1 -}}
{{- $number := regexFind "^[0-9.]+" . -}}
{{- $ms = addf $ms (mulf (float64 $number) (get $units (trimPrefix $number .))) -}}
{{- end -}}
{{- divf $ms 1000.0 | ceil | int -}}
{{- end -}}

{{/* Of a quantity of Kubernetes: 1.5Gi -> 1610612736. */}}
{{- define "connector-hub.bytes" -}}
{{- $units := dict "m" 0.001 "" 1.0 "k" 1000.0 "M" 1000000.0 "G" 1000000000.0 "T" 1000000000000.0 "Ki" 1024.0 "Mi" 1048576.0 "Gi" 1073741824.0 "Ti" 1099511627776.0 -}}
{{- $unit := regexFind "[A-Za-z]*$" . -}}
{{- mulf (float64 (trimSuffix $unit .)) (get $units $unit | default 0.0) -}}
{{- end -}}
