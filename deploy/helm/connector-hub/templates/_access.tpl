{{- define "connector-hub.access" -}}
{{- $it := . -}}
{{- $entry := $it.entry }}
{{- if not $entry.serviceAccount.name }}
---
apiVersion: v1
kind: ServiceAccount
metadata:
  {{- include "connector-hub.metadata" $it | nindent 2 }}
  {{- with $entry.serviceAccount.annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
automountServiceAccountToken: false
{{- end }}
{{- if $it.lease }}
{{- $lease := printf "%s-%s" $it.lease $it.name }}
---
# What leads is written in a Lease, what it has done in a ConfigMap of the same name. RBAC cannot name what is yet to be made.
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: {{ $lease }}
  namespace: {{ $it.root.Release.Namespace | quote }}
  labels:
    {{- include "connector-hub.labels" $it | nindent 4 }}
rules:
  - apiGroups: [coordination.k8s.io]
    resources: [leases]
    verbs: [create]
  - apiGroups: [coordination.k8s.io]
    resources: [leases]
    resourceNames: [{{ $lease }}]
    verbs: [get, update]
  - apiGroups: ['']
    resources: [configmaps]
    verbs: [create]
  - apiGroups: ['']
    resources: [configmaps]
    resourceNames: [{{ $lease }}]
    verbs: [get, update]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: {{ $lease }}
  namespace: {{ $it.root.Release.Namespace | quote }}
  labels:
    {{- include "connector-hub.labels" $it | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: {{ $lease }}
subjects:
  - kind: ServiceAccount
    name: {{ include "connector-hub.account" $it | quote }}
    namespace: {{ $it.root.Release.Namespace | quote }}
{{- end }}
{{- if $it.watches }}
{{- $named := and (not (empty $it.namespaces)) (not (regexMatch "[*?]" (join "" $it.namespaces))) }}
{{- $cluster := printf "%s-%s" $it.root.Release.Namespace $it.fullname }}
{{- range $namespace := ternary (uniq $it.namespaces) (list "") $named }}
---
# To watch functions, in {{ ternary $namespace "every namespace" $named }}.
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ ternary "Role" "ClusterRole" $named }}
metadata:
  name: {{ ternary $it.fullname $cluster $named }}
  {{- if $named }}
  namespace: {{ $namespace | quote }}
  {{- end }}
  labels:
    {{- include "connector-hub.labels" $it | nindent 4 }}
rules:
  - apiGroups: [openfaas.com]
    resources: [functions]
    verbs: [list, watch]
  - apiGroups: [apps]
    resources: [deployments]
    verbs: [list, watch]
  {{- if not $named }}
  - apiGroups: ['']
    resources: [namespaces]
    verbs: [list, watch]
  {{- end }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ ternary "RoleBinding" "ClusterRoleBinding" $named }}
metadata:
  name: {{ ternary $it.fullname $cluster $named }}
  {{- if $named }}
  namespace: {{ $namespace | quote }}
  {{- end }}
  labels:
    {{- include "connector-hub.labels" $it | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: {{ ternary "Role" "ClusterRole" $named }}
  name: {{ ternary $it.fullname $cluster $named }}
subjects:
  - kind: ServiceAccount
    name: {{ include "connector-hub.account" $it | quote }}
    namespace: {{ $it.root.Release.Namespace | quote }}
{{- end }}
{{- end }}
{{- if $entry.podDisruptionBudget.enabled }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  {{- include "connector-hub.metadata" $it | nindent 2 }}
spec:
  maxUnavailable: {{ $entry.podDisruptionBudget.maxUnavailable }}
  # A pod whose broker is away does no work: it may go.
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels:
      {{- include "connector-hub.selector" $it | nindent 6 }}
{{- end }}
{{- if $entry.networkPolicy.enabled }}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  {{- include "connector-hub.metadata" $it | nindent 2 }}
spec:
  podSelector:
    matchLabels:
      {{- include "connector-hub.selector" $it | nindent 6 }}
  policyTypes:
    - Ingress
    {{- if $entry.networkPolicy.egress }}
    - Egress
    {{- end }}
  ingress:
    - ports:
        - port: metrics
      {{- with $entry.networkPolicy.metricsFrom }}
      from:
        {{- toYaml . | nindent 8 }}
        {{- if and $entry.autoscaling.enabled (eq $it.type "rabbitmq") }}
        # The scaler asks what the replicas have.
        - podSelector:
            matchLabels:
              {{- include "connector-hub.selector" (dict "root" $it.root "name" (printf "%s-scaler" $it.name)) | nindent 14 }}
        {{- end }}
      {{- end }}
    {{- if $it.terms.port }}
    - ports:
        - port: hooks
      {{- with $entry.networkPolicy.hooksFrom }}
      from:
        {{- toYaml . | nindent 8 }}
      {{- end }}
    {{- end }}
  {{- with $entry.networkPolicy.egress }}
  egress:
    - ports:
        - { port: 53, protocol: UDP }
        - { port: 53, protocol: TCP }
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
{{- end -}}
