{{/*
Keys of the OpenFaaS charts into hub.yaml, by the table in files/openfaas.yaml.
*/}}

{{/* Sets .value at .path (with dots) in .into. A place that is taken is a contradiction of the user's. */}}
{{- define "connector-hub.put" -}}
{{- $at := .into -}}
{{- $parts := splitList "." .path -}}
{{- range initial $parts -}}
{{- if not (kindIs "map" (get $at .)) }}{{ $_ := set $at . dict }}{{ end -}}
{{- $at = get $at . -}}
{{- end -}}
{{- if hasKey $at (last $parts) -}}
{{- fail (printf "%s: sets %s, which is set already. Keep one of the two." .key .path) -}}
{{- end -}}
{{- $_ := set $at (last $parts) .value -}}
{{- end -}}

{{/* A folder of the pod from a Secret or a ConfigMap. */}}
{{- define "connector-hub.mount" -}}
{{- if hasKey .into .folder -}}
{{- fail (printf "%s: mounts %s, which is mounted already. Call one of the two folders otherwise." .key .folder) -}}
{{- end -}}
{{- $_ := set .into .folder .source -}}
{{- end -}}

{{/* One key of an OpenFaaS chart. Takes key, value, row, layer, into (hub, config, secrets, environment, literals), at. */}}
{{- define "connector-hub.translateKey" -}}
{{- $key := printf "%s.%s" .at .key -}}
{{- $row := .row -}}
{{- $value := .value -}}
{{- $as := $row.as | default "text" -}}
{{- $named := and (has $as (list "secret" "credentials" "password")) (ne (toString $value) "") -}}
{{- if and $named $row.with (not (get .layer $row.with)) -}}
{{- fail (printf "%s: is not used without %s: true. Set that, or remove the key." $key $row.with) -}}
{{- end -}}
{{- if has $as (list "secret" "credentials") -}}
{{- if $named -}}
{{- $secret := ternary $value (dict "name" $value) (kindIs "map" $value) -}}
{{- $file := $secret.key | default $row.secret | default $secret.name -}}
{{- $folder := $row.folder | default $row.secret -}}
{{- include "connector-hub.mount" (dict "into" .into.secrets "folder" $folder "source" $secret.name "key" $key) -}}
{{- $path := printf "/var/secrets/%s/%s" $folder $file -}}
{{- if eq $as "credentials" }}{{ $_ := set .into.environment "AWS_SHARED_CREDENTIALS_FILE" $path }}
{{- else }}{{ include "connector-hub.put" (dict "into" .into.config "path" $row.config "value" $path "key" $key) }}{{ end -}}
{{- end -}}
{{- else if eq $as "password" -}}
{{- if $named -}}
{{- $_ := set .into.literals .key $value -}}
{{- $path := printf "/var/secrets/values/%s" .key -}}
{{- include "connector-hub.put" (dict "into" .into.config "path" $row.config "value" $path "key" $key) -}}
{{- end -}}
{{- else -}}
{{- if eq $as "list" }}{{ $value = ternary (splitList "," (toString $value) ) $value (kindIs "string" $value) }}
{{- $trimmed := list }}{{ range $value }}{{ $trimmed = append $trimmed (trim .) }}{{ end }}{{ $value = without $trimmed "" }}
{{- else if eq $as "integer" }}{{ $value = int64 $value }}
{{- else if eq $as "mode" }}{{ $value = ternary "async" "sync" $value }}
{{- else if eq $as "level" }}{{ $value = ternary "debug" "info" $value }}{{ end -}}
{{- if $row.hub }}{{ include "connector-hub.put" (dict "into" .into.hub "path" $row.hub "value" $value "key" $key) }}
{{- else }}{{ include "connector-hub.put" (dict "into" .into.config "path" $row.config "value" $value "key" $key) }}{{ end -}}
{{- end -}}
{{- end -}}

{{/* All of them in one layer. Takes table, layer, into, at. */}}
{{- define "connector-hub.translate" -}}
{{- $in := . -}}
{{- range $name, $row := .table -}}
{{- range $key := prepend ($row.also | default list) $name -}}
{{- $value := $in.layer -}}
{{- $isSet := true -}}
{{- range splitList "." $key -}}
{{- if not (kindIs "map" $value) }}{{ $isSet = false }}{{ break }}{{ end -}}
{{- $isSet = hasKey $value . -}}
{{- $value = get $value . -}}
{{- end -}}
{{- if or (not $isSet) (kindIs "invalid" $value) }}{{ continue }}{{ end -}}
{{- if eq ($row.as | default "text") "basicAuth" -}}
{{- if hasKey $in.into "basicAuth" }}{{ fail (printf "%s.%s: basic_auth is set already. Keep one of the two." $in.at $key) }}{{ end -}}
{{- $_ := set $in.into "basicAuth" $value -}}
{{- else -}}
{{- include "connector-hub.translateKey" (dict "key" $key "value" $value "row" $row "layer" $in.layer "into" $in.into "at" $in.at) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
