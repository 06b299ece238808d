{{/* What pods have in common: where they run, their variables, and what is mounted. */}}

{{/* Service account, security and place of a pod. Takes {root, component, group, at, account}; at has nodeSelector and the like. */}}
{{- define "taskgrove.place" -}}
serviceAccountName: {{ .account | default "default" }}
automountServiceAccountToken: {{ .token | default false }}
enableServiceLinks: false
{{- with .root.Values.global.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
securityContext:
  {{- toYaml (mergeOverwrite (deepCopy .root.Values.podSecurityContext) (default dict .podSecurityContext)) | nindent 2 }}
{{- with .at.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .at.runtimeClassName }}
runtimeClassName: {{ . }}
{{- end }}
{{- with .at.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .at.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .at.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if .at.topologySpread }}
topologySpreadConstraints:
  {{- range .at.topologySpread }}
  - {{ toYaml . | indent 4 | trim }}
    labelSelector:
      matchLabels:
        {{- include "taskgrove.selector" $ | nindent 8 }}
  {{- end }}
{{- end }}
{{- end }}

{{/* The security context of a container. Takes {root, securityContext}. */}}
{{- define "taskgrove.container" -}}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
terminationMessagePolicy: FallbackToLogsOnError # kubectl describe shows why it ended
securityContext:
  {{- toYaml (mergeOverwrite (deepCopy .root.Values.securityContext) (default dict .securityContext)) | nindent 2 }}
{{- end }}

{{/* Probes of a process, by its port http. */}}
{{- define "taskgrove.probes" -}}
{{- $scheme := ternary "HTTPS" "HTTP" .Values.tls.enabled -}}
startupProbe: # a process of 0.8 serves nothing while it waits for Postgres or NATS
  httpGet: {path: /health, port: http, scheme: {{ $scheme }}}
  periodSeconds: 1
  failureThreshold: 300
livenessProbe:
  httpGet: {path: /health, port: http, scheme: {{ $scheme }}}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet: {path: /ready, port: http, scheme: {{ $scheme }}}
  periodSeconds: 2
  timeoutSeconds: 3
  failureThreshold: 2
{{- end }}

{{/* Settings as variables: {NAME: value} with TASKGROVE_ before the names. Takes maps of settings, of which the later ones win. */}}
{{- define "taskgrove.settings" -}}
{{- $all := dict -}}
{{- range . }}{{ $all = mergeOverwrite $all (deepCopy .) }}{{ end -}}
{{- range $name, $value := $all }}
- name: TASKGROVE_{{ $name }}
  value: {{ include "taskgrove.text" $value | quote }}
{{- end }}
{{- end }}

{{/* A value as a setting takes it: lists with commas, numbers without an exponent. */}}
{{- define "taskgrove.text" -}}
{{- if kindIs "slice" . }}{{ join "," . }}{{ else if and (kindIs "float64" .) (eq (floor .) .) }}{{ int64 . }}{{ else }}{{ . }}{{ end -}}
{{- end }}

{{/* Variables of every process: authorities, proxy, and what the values add. Takes {root, worker}. */}}
{{- define "taskgrove.commonEnv" -}}
{{- if or .root.Values.caBundle.configMap .root.Values.caBundle.secret }}
- name: SSL_CERT_DIR # besides the image's own
  value: /etc/taskgrove/ca
{{- end }}
{{- with .root.Values.proxy.url }}
{{- $except := concat (list "localhost" "127.0.0.1" ".svc" (printf ".%s" $.root.Values.clusterDomain)) $.root.Values.proxy.except | join "," }}
{{- $names := ternary (list "TASKGROVE_PROXY" "HTTPS_PROXY" "HTTP_PROXY") (list "HTTPS_PROXY" "HTTP_PROXY") $.worker }}
{{- range $names }}
- name: {{ . }}
  value: {{ $.root.Values.proxy.url | quote }}
{{- end }}
{{- range ternary (list "TASKGROVE_NO_PROXY" "NO_PROXY") (list "NO_PROXY") $.worker }}
- name: {{ . }}
  value: {{ $except | quote }}
{{- end }}
{{- end }}
{{- with .root.Values.env }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Variables of who reaches Postgres. */}}
{{- define "taskgrove.postgresEnv" -}}
{{- $p := .Values.postgres -}}
- name: TASKGROVE_POSTGRES_URL
{{- if $p.urlKey }}
  valueFrom:
    secretKeyRef: {name: {{ $p.existingSecret }}, key: {{ $p.urlKey }}}
{{- else }}
  value: {{ printf "postgres://%s@%s/%s%s" (include "taskgrove.urlPart" $p.user) (include "taskgrove.postgresHosts" .) (include "taskgrove.urlPart" $p.database) (ternary (printf "?%s" $p.parameters) "" (ne $p.parameters "")) | quote }}
{{- end }}
{{- if and (include "taskgrove.postgresSecret" .) (not $p.urlKey) }}
- name: TASKGROVE_POSTGRES_PASSWORD_FILE
  value: /etc/taskgrove/postgres/password
{{- end }}
{{- if or $p.tls.caSecret (and $p.builtin.enabled .Values.tls.enabled) }}
- name: TASKGROVE_POSTGRES_TLS_CA_FILE
  value: /etc/taskgrove/postgres-ca/ca.crt
{{- end }}
{{- if $p.tls.clientSecret }}
- name: TASKGROVE_POSTGRES_TLS_CERT_FILE
  value: /etc/taskgrove/postgres-tls/tls.crt
- name: TASKGROVE_POSTGRES_TLS_KEY_FILE
  value: /etc/taskgrove/postgres-tls/tls.key
{{- end }}
{{- end }}

{{/* Variables of who reaches NATS. Takes {root, group, secret} as taskgrove.natsSecret. */}}
{{- define "taskgrove.natsEnv" -}}
{{- $nats := .root.Values.nats -}}
{{- $login := "" -}}
{{- if has $nats.auth (list "accounts" "user") }}
{{- $login = "$(NATS_USER):$(NATS_PASSWORD)@" }}
{{- range $name, $key := dict "NATS_USER" "user" "NATS_PASSWORD" "password" }}
- name: {{ $name }}
  valueFrom:
    secretKeyRef: {name: {{ include "taskgrove.natsSecret" $ }}, key: {{ $key }}}
{{- end }}
{{- end }}
- name: TASKGROVE_NATS_URL
  value: {{ printf "nats://%s%s" $login (include "taskgrove.natsServers" .root | replace "," (printf ",nats://%s" $login)) | quote }}
{{- if has $nats.auth (list "creds" "nkey") }}
- name: {{ ternary "TASKGROVE_NATS_CREDS_FILE" "TASKGROVE_NATS_NKEY_FILE" (eq $nats.auth "creds") }}
  value: /etc/taskgrove/nats/{{ $nats.auth }}
{{- end }}
{{- if or $nats.tls.caSecret (and $nats.builtin.enabled .root.Values.tls.enabled) }}
- name: TASKGROVE_NATS_TLS_CA_FILE
  value: /etc/taskgrove/nats-ca/ca.crt
{{- end }}
{{- if $nats.tls.clientSecret }}
- name: TASKGROVE_NATS_TLS_CERT_FILE
  value: /etc/taskgrove/nats-tls/tls.crt
- name: TASKGROVE_NATS_TLS_KEY_FILE
  value: /etc/taskgrove/nats-tls/tls.key
{{- end }}
{{- end }}

{{/* Variables of a process with listeners. */}}
{{- define "taskgrove.listenEnv" -}}
{{- if .Values.tls.enabled -}}
- name: TASKGROVE_LISTEN_TLS_CERT_FILE
  value: /etc/taskgrove/tls/tls.crt
- name: TASKGROVE_LISTEN_TLS_KEY_FILE
  value: /etc/taskgrove/tls/tls.key
{{- end }}
{{- end }}

{{/* What is mounted, as {name: {path, secret or configMap, items}}: volumes and mounts are both made of it. Takes
     {root, parts, group, secret, component}; parts are of: postgres, nats, tls, keys. */}}
{{- define "taskgrove.mounts" -}}
{{- $v := .root.Values -}}
{{- $tls := $v.tls.enabled -}}
{{- with $v.caBundle.configMap }}
ca: {path: ca, configMap: {{ . }}}
{{- end }}
{{- with $v.caBundle.secret }}
ca: {path: ca, secret: {{ . }}}
{{- end }}
{{- if has "postgres" .parts }}
{{- if and (include "taskgrove.postgresSecret" .root) (not $v.postgres.urlKey) }}
postgres: {path: postgres, secret: {{ include "taskgrove.postgresSecret" .root }}, items: {{ dict $v.postgres.passwordKey "password" | toJson }}}
{{- end }}
{{- if $v.postgres.tls.caSecret }}
postgres-ca: {path: postgres-ca, secret: {{ $v.postgres.tls.caSecret }}, items: {{ dict $v.postgres.tls.caKey "ca.crt" | toJson }}}
{{- else if and $v.postgres.builtin.enabled $tls }}
postgres-ca: {path: postgres-ca, secret: {{ include "taskgrove.tlsSecret" (dict "root" .root "component" "postgres") }}, items: {ca.crt: ca.crt}}
{{- end }}
{{- with $v.postgres.tls.clientSecret }}
postgres-tls: {path: postgres-tls, secret: {{ . }}}
{{- end }}
{{- end }}
{{- if has "nats" .parts }}
{{- if has $v.nats.auth (list "creds" "nkey") }}
nats: {path: nats, secret: {{ include "taskgrove.natsSecret" . }}, items: {{ dict $v.nats.auth $v.nats.auth | toJson }}}
{{- end }}
{{- if $v.nats.tls.caSecret }}
nats-ca: {path: nats-ca, secret: {{ $v.nats.tls.caSecret }}, items: {{ dict $v.nats.tls.caKey "ca.crt" | toJson }}}
{{- else if and $v.nats.builtin.enabled $tls }}
nats-ca: {path: nats-ca, secret: {{ include "taskgrove.tlsSecret" (dict "root" .root "component" "nats") }}, items: {ca.crt: ca.crt}}
{{- end }}
{{- with $v.nats.tls.clientSecret }}
nats-tls: {path: nats-tls, secret: {{ . }}}
{{- end }}
{{- end }}
{{- if and (has "tls" .parts) $tls }}
tls: {path: tls, secret: {{ include "taskgrove.tlsSecret" . }}}
{{- end }}
{{- if has "keys" .parts }}
{{- range $path, $ref := dict "tokens" $v.auth.tokenSecret "old-tokens" $v.auth.oldTokenSecret "callers" $v.auth.callers "seal" $v.keys.seal "audit" $v.keys.audit }}
{{- if $ref.name }}
{{ $path }}: {path: {{ $path }}, secret: {{ $ref.name }}, items: {{ dict $ref.key "value" | toJson }}}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- define "taskgrove.volumes" -}}
{{- range $name, $m := include "taskgrove.mounts" . | fromYaml }}
- name: {{ $name }}
  {{- if $m.configMap }}
  configMap:
    name: {{ $m.configMap }}
  {{- else }}
  secret:
    secretName: {{ $m.secret }}
    {{- with $m.items }}
    items:
      {{- range $key, $path := . }}
      - {key: {{ $key }}, path: {{ $path }}}
      {{- end }}
    {{- end }}
  {{- end }}
{{- end }}
{{- end }}

{{- define "taskgrove.volumeMounts" -}}
{{- range $name, $m := include "taskgrove.mounts" . | fromYaml }}
- {name: {{ $name }}, mountPath: /etc/taskgrove/{{ $m.path }}, readOnly: true}
{{- end }}
{{- end }}
