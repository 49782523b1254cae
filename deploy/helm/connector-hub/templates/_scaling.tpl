{{- define "connector-hub.scaling" -}}
{{- $it := . -}}
{{- $entry := $it.entry }}
{{- if $entry.autoscaling.enabled }}
{{- $scaler := dict "root" $it.root "name" (printf "%s-scaler" $it.name) "fullname" (printf "%s-scaler" $it.fullname) }}
---
# Tells KEDA what waits at the broker. Consumes nothing.
apiVersion: apps/v1
kind: Deployment
metadata:
  {{- include "connector-hub.metadata" $scaler | nindent 2 }}
spec:
  replicas: 1
  selector:
    matchLabels:
      {{- include "connector-hub.selector" $scaler | nindent 6 }}
  template:
    {{- $ports := list (dict "name" "metrics" "containerPort" 8081) (dict "name" "grpc-scaler" "containerPort" 9090) }}
    {{- /* RabbitMQ does not tell what its consumers hold: the replicas do, behind their headless Service. */}}
    {{- $variables := list }}
    {{- if eq $it.type "rabbitmq" }}{{ $variables = list (dict "name" "HUB_SCALER_HUB" "value" (printf "http://%s.%s:8081" $it.fullname $it.root.Release.Namespace)) }}{{ end }}
    {{- include "connector-hub.pod" (dict "it" $it "args" (list "scaler" $it.name "-c" "/etc/connector-hub/hub.yaml") "variables" $variables "ports" $ports "called" false "volume" false "labels" (include "connector-hub.labels" $scaler) "selector" (include "connector-hub.selector" $scaler)) | nindent 4 }}
---
apiVersion: v1
kind: Service
metadata:
  {{- include "connector-hub.metadata" $scaler | nindent 2 }}
spec:
  selector:
    {{- include "connector-hub.selector" $scaler | nindent 4 }}
  ports:
    - name: grpc-scaler
      port: 9090
      targetPort: grpc-scaler
    - name: metrics
      port: 8081
      targetPort: metrics
{{- if $entry.networkPolicy.enabled }}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  {{- include "connector-hub.metadata" $scaler | nindent 2 }}
spec:
  podSelector:
    matchLabels:
      {{- include "connector-hub.selector" $scaler | nindent 6 }}
  policyTypes:
    - Ingress
    {{- if $entry.networkPolicy.egress }}
    - Egress
    {{- end }}
  ingress:
    # KEDA, wherever it runs.
    - ports:
        - port: grpc-scaler
    - ports:
        - port: metrics
      {{- with $entry.networkPolicy.metricsFrom }}
      from:
        {{- toYaml . | nindent 8 }}
      {{- end }}
  {{- with $entry.networkPolicy.egress }}
  egress:
    - ports:
        - { port: 53, protocol: UDP }
        - { port: 53, protocol: TCP }
    {{- if eq $it.type "rabbitmq" }}
    # The replicas: what they have.
    - ports:
        - { port: 8081, protocol: TCP }
      to:
        - podSelector:
            matchLabels:
              {{- include "connector-hub.selector" $it | nindent 14 }}
    {{- end }}
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
---
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata:
  {{- include "connector-hub.metadata" $it | nindent 2 }}
spec:
  scaleTargetRef:
    apiVersion: apps/v1
    kind: {{ ternary "StatefulSet" "Deployment" $it.stateful }}
    name: {{ $it.fullname }}
  minReplicaCount: {{ $entry.autoscaling.minReplicas }}
  maxReplicaCount: {{ $entry.autoscaling.maxReplicas }}
  pollingInterval: {{ $entry.autoscaling.pollingInterval }}
  cooldownPeriod: {{ $entry.autoscaling.cooldownPeriod }}
  triggers:
    - type: external-push
      metadata:
        scalerAddress: {{ $scaler.fullname }}.{{ $it.root.Release.Namespace }}:9090
        connector: {{ $it.name | quote }}
        targetLag: {{ int64 $entry.autoscaling.targetLag | quote }}
        activationLag: {{ int64 $entry.autoscaling.activationLag | quote }}
{{- end }}
{{- end -}}
