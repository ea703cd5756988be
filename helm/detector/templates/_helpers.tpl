{{/* Names. A pod's name is its instance towards Kafka, so roles are told apart at its end. */}}
{{- define "detector.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "detector.selectorLabels" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "detector.labels" -}}
{{ include "detector.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: telecom-fraud-detector
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "detector.annotations" -}}
{{- with .Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "detector.image" -}}
{{- $image := .Values.image -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $image.repository $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $image.repository (default .Chart.AppVersion $image.tag) -}}
{{- end -}}
{{- end -}}

{{- define "detector.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "detector.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* What no schema can say, since it compares two values. */}}
{{- define "detector.guard" -}}
{{- $partitions := int .Values.config.topics.partitions -}}
{{- $most := int (ternary .Values.keda.detect.maxReplicas .Values.detect.replicas .Values.keda.enabled) -}}
{{- if gt $most $partitions -}}
{{- fail (printf "%s: wanted at most config.topics.partitions, %d: a pod without a partition is never ready (got %d)" (ternary "keda.detect.maxReplicas" "detect.replicas" .Values.keda.enabled) $partitions $most) -}}
{{- end -}}
{{- range $role := list "ingest" "detect" -}}
{{- $scale := index $.Values.keda $role -}}
{{- if and $.Values.keda.enabled (gt (int $scale.minReplicas) (int $scale.maxReplicas)) -}}
{{- fail (printf "keda.%s.minReplicas: wanted at most maxReplicas, %d (got %d)" $role (int $scale.maxReplicas) (int $scale.minReplicas)) -}}
{{- end -}}
{{- end -}}
{{- if and .Values.keda.enabled .Values.keda.authentication.name .Values.keda.authentication.secretTargetRef -}}
{{- fail "keda.authentication: wanted the name of one that exists, or secretTargetRef for one that is made (got both)" -}}
{{- end -}}
{{- if and .Values.keda.enabled (not (index (default (dict) .Values.config.kafka) "bootstrap.servers")) -}}
{{- fail "keda: wanted config.kafka.bootstrap.servers, which it asks for the lag (got none)" -}}
{{- end -}}
{{- end -}}

{{/* The settings as the detector reads them. */}}
{{- define "detector.settings" -}}
detector.yaml: |
  {{- toYaml .Values.config | nindent 2 }}
{{- end -}}

{{/* A path as a ConfigMap's key: keys have no slash. */}}
{{- define "detector.fileKey" -}}
{{- . | replace "/" "__" -}}
{{- end -}}

{{- define "detector.filesData" -}}
{{- range $path, $text := .Values.files }}
{{ include "detector.fileKey" $path | quote }}: {{ $text | toJson }}
{{- end }}
{{- end -}}

{{/* Settings and files side by side in one folder, of the two ConfigMaps named. */}}
{{- define "detector.configVolume" -}}
- name: config
  projected:
    sources:
      - configMap:
          name: {{ .settings }}
          items: [{key: detector.yaml, path: detector.yaml}]
      {{- if .root.Values.files }}
      - configMap:
          name: {{ .files }}
          items:
            {{- range $path, $_ := .root.Values.files }}
            - {key: {{ include "detector.fileKey" $path | quote }}, path: {{ $path | quote }}}
            {{- end }}
      {{- end }}
{{- end -}}

{{- define "detector.scratchVolumes" -}}
- name: kernels
  emptyDir: {sizeLimit: {{ .Values.scratch.kernels }}}
- name: tmp
  emptyDir: {sizeLimit: {{ .Values.scratch.tmp }}}
{{- range $name, $secret := .Values.secrets.files }}
- name: secret-{{ $name }}
  secret: {secretName: {{ $secret }}, defaultMode: 0440}
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "detector.mounts" -}}
- {name: config, mountPath: /etc/detector, readOnly: true}
- {name: kernels, mountPath: /var/cache/detector/kernels}
- {name: tmp, mountPath: /tmp}
{{- range $name, $_ := .Values.secrets.files }}
- {name: secret-{{ $name }}, mountPath: /run/secrets/detector/{{ $name }}, readOnly: true}
{{- end }}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "detector.env" -}}
- {name: DETECTOR_CONFIG, value: /etc/detector/detector.yaml}
# The pod's name is its identity towards Kafka: the next pod of that name takes its place.
- name: DETECTOR__INSTANCE
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
- {name: NUMBA_CACHE_DIR, value: /var/cache/detector/kernels}
- {name: HOME, value: /tmp}
{{- range $name, $ref := .Values.secrets.env }}
- name: {{ $name }}
  valueFrom: {secretKeyRef: {name: {{ $ref.secret }}, key: {{ $ref.key | quote }}}}
{{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "detector.containerSecurity" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end -}}

{{/* The compiled kernels are in the image, whose file system is read-only, and numba wants to write beside them. Without
     -p, for the folder itself is not ours to date. */}}
{{- define "detector.kernelsContainer" -}}
- name: kernels
  image: {{ include "detector.image" . }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  command: [cp, -R, /var/cache/detector/kernels/., /kernels/]
  {{- include "detector.containerSecurity" . | nindent 2 }}
  resources:
    requests: {cpu: 50m, memory: 32Mi}
    limits: {memory: 64Mi}
  volumeMounts:
    - {name: kernels, mountPath: /kernels}
{{- end -}}

{{/* What roles and job have in common in their pods. */}}
{{- define "detector.podBasics" -}}
automountServiceAccountToken: false
# A service called detector would otherwise put variables beside our own.
enableServiceLinks: false
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- toYaml .Values.podSecurityContext | nindent 2 }}
{{- end -}}

{{- define "detector.adminPort" -}}
{{- add (int .root.Values.config.admin.port) (ternary 1 0 (eq .role "detect")) -}}
{{- end -}}
