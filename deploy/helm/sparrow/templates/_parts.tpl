{{/* What is the same in both halves. Each takes a dict of `root` and what else it needs. */}}

{{- define "sparrow.labels" -}}
app.kubernetes.io/name: {{ .name }}
app.kubernetes.io/part-of: sparrow
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end }}

{{- define "sparrow.podLabels" -}}
app.kubernetes.io/name: {{ .name }}
app.kubernetes.io/part-of: sparrow
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
{{- end }}

{{- define "sparrow.image" -}}
image: {{ printf "%s:%s" .image.repository (.image.tag | default .root.Chart.AppVersion) }}
imagePullPolicy: {{ .image.pullPolicy }}
{{- end }}

{{- define "sparrow.confined" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{- define "sparrow.spread" -}}
- maxSkew: 1
  topologyKey: kubernetes.io/hostname
  whenUnsatisfiable: DoNotSchedule
  nodeTaintsPolicy: Honor
  labelSelector:
    matchLabels:
      app.kubernetes.io/name: {{ .name }}
  matchLabelKeys: [pod-template-hash]
{{- end }}

{{- define "sparrow.token" -}}
- name: token
  projected:
    defaultMode: 288 # 0440, which YAML 1.1 and 1.2 read differently
    sources:
      - serviceAccountToken:
          path: token
          expirationSeconds: 3600
      - configMap:
          name: kube-root-ca.crt
          items:
            - key: ca.crt
              path: ca.crt
      - downwardAPI:
          items:
            - path: namespace
              fieldRef:
                fieldPath: metadata.namespace
{{- end }}

{{- define "sparrow.pullSecrets" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end }}

{{/* The flags as environment variables: those that follow from other values, and the user's own, which win. */}}
{{- define "sparrow.entrySettings" -}}
{{- $https := .Values.entry.service.nodePorts.https }}
{{- if eq .Values.entry.service.type "LoadBalancer" }}{{ $https = 443 }}{{ end }}
{{- $settings := dict
  "SPARROW_ENTRY_HTTP" "0.0.0.0:8080"
  "SPARROW_ENTRY_HTTPS" "0.0.0.0:8443"
  "SPARROW_ENTRY_PUBLIC_HTTPS_PORT" (toString $https)
  "SPARROW_ENTRY_NODE_SELECTOR" (printf "%s=%s" .Values.entry.nodeLabel.name .Values.entry.nodeLabel.value)
  "SPARROW_ENTRY_CONTROLLER" .Values.entry.controller
  "SPARROW_ENTRY_SERVICE_SELECTOR" .Values.entry.serviceSelector
  "SPARROW_ENTRY_TLS_SECRETS" (ternary "watched" "named" .Values.entry.allSecrets)
  "SPARROW_ENTRY_WORKERS" "2"
  "SPARROW_ENTRY_DRAIN_DELAY" "5s"
  "SPARROW_ENTRY_STOP_TIMEOUT" "30s" }}
{{- if eq .Values.entry.service.type "LoadBalancer" }}
{{- $_ := set $settings "SPARROW_ENTRY_PUBLISH_SERVICE" (printf "%s/%s" .Release.Namespace .Values.entry.name) }}
{{- end }}
{{- with .Values.entry.config }}
{{- $_ := set $settings "SPARROW_ENTRY_CONFIG" . }}
{{- end }}
{{- range $name, $value := merge (dict) .Values.entry.settings $settings }}
{{ $name }}: {{ $value | quote }}
{{- end }}
{{- end }}

{{- define "sparrow.storageSettings" -}}
{{- $settings := dict
  "SPARROW_RBD_LISTEN" "0.0.0.0:8080"
  "SPARROW_RBD_ADMIN" "0.0.0.0:8081"
  "SPARROW_RBD_CEPH_CONF" "/etc/ceph/ceph.conf"
  "SPARROW_RBD_ID" .Values.storage.ceph.entity
  "SPARROW_RBD_KEYRING" (printf "/etc/ceph/ceph.%s.keyring" .Values.storage.ceph.entity)
  "SPARROW_RBD_AUTH" .Values.storage.authentication
  "SPARROW_RBD_DRAIN_DELAY" "5s"
  "SPARROW_RBD_GRACE" "25s" }}
{{- if eq .Values.storage.authentication "none" }}
{{- $_ := set $settings "SPARROW_RBD_ANYONE_MAY_DELETE_EVERYTHING" "true" }}
{{- $_ := set $settings "SPARROW_RBD_ALLOWED_HOST" "rbd-rest-api,*.svc,*.cluster.local" }}
{{- end }}
{{- range $name, $value := merge (dict) .Values.storage.settings $settings }}
{{ $name }}: {{ $value | quote }}
{{- end }}
{{- end }}
