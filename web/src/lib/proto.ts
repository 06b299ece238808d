// Generated from the contracts in proto/taskgrove/v1 by "go generate ./api/page". Do not edit.
//
// Messages are as protojson has them: what is zero or empty is absent, 64-bit numbers and bytes (base64) are texts.

/** An instant as RFC 3339 has it. */
export type Timestamp = string;
/** Seconds with an s behind. */
export type Duration = string;
/** A 64-bit number. */
export type Int64 = string;
/** Base64. */
export type Bytes = string;

export interface WhoAmIRequest {
}

export interface WhoAmIResponse {
  user?: string;
  kind?: string;
  issuer?: string;
  keyId?: string;
  namespace?: string;
  groups?: string[];
  roles?: HeldRole[];
  scopes?: string[];
  scoped?: boolean;
  complete?: boolean;
}

export interface HeldRole {
  role?: string;
  namespace?: string;
}

export interface CanIRequest {
  permissions?: string[];
  taskId?: string;
  user?: string;
  roles?: string[];
}

export interface CanIResponse {
  answers?: AccessAnswer[];
}

export interface AccessAnswer {
  permission?: string;
  allowed?: boolean;
  reach?: string;
}

export interface ListRolesRequest {
}

export interface ListRolesResponse {
  roles?: RoleRights[];
}

export interface RoleRights {
  name?: string;
  text?: string;
  rights?: RoleRight[];
}

export interface RoleRight {
  permission?: string;
  text?: string;
  reach?: string;
  cluster?: boolean;
}

export interface Binding {
  namespace?: string;
  kind?: string;
  subject?: string;
  issuer?: string;
  role?: string;
}

export interface StoredBinding {
  binding?: Binding;
  grantedBy?: string;
  grantedAt?: Timestamp;
}

export interface GrantRoleRequest {
  binding?: Binding;
}

export interface RevokeRoleRequest {
  binding?: Binding;
}

export interface RevokeRoleResponse {
}

export interface ListBindingsRequest {
  namespace?: string;
  subject?: string;
  limit?: number;
  cursor?: string;
}

export interface ListBindingsResponse {
  bindings?: StoredBinding[];
  nextCursor?: string;
}

export interface DiagnoseRequest {
}

export interface Diagnosis {
  coordinator?: string;
  version?: string;
  at?: Timestamp;
  findings?: Finding[];
}

export interface Finding {
  check?: string;
  severity?: string;
  subject?: string;
  found?: string;
  mend?: string[];
  link?: string;
}

export interface ValidateFlowRequest {
  flow?: string;
  text?: string;
  version?: number;
  name?: string;
  env?: Record<string, string>;
  params?: Bytes;
  set?: string[];
  profiles?: string;
  job?: string;
  priority?: number;
  asRun?: boolean;
  strictEnv?: boolean;
  compat?: boolean;
  noDeps?: boolean;
  jobOutputs?: string[];
}

export interface FlowReport {
  ok?: boolean;
  flowYaml?: string;
  errors?: FlowFault[];
  warnings?: FlowFault[];
  more?: number;
}

export interface FlowFault {
  code?: string;
  alias?: string;
  loc?: string;
  line?: number;
  column?: number;
  msg?: string;
}

export interface ApplyFlowRequest {
  name?: string;
  text?: string;
  userId?: string;
  preview?: boolean;
  bundle?: string;
}

export interface Flow {
  id?: string;
  version?: number;
  sha256?: Bytes;
  text?: string;
  userId?: string;
  createdBy?: string;
  createdAt?: Timestamp;
  fresh?: boolean;
  versions?: number;
  warnings?: string[];
  bundle?: string;
}

export interface GetFlowRequest {
  id?: string;
  version?: number;
}

export interface ListFlowsRequest {
  userId?: string;
  limit?: number;
  cursor?: string;
}

export interface ListFlowsResponse {
  flows?: Flow[];
  cursor?: string;
}

export interface DeleteFlowRequest {
  id?: string;
}

export interface DeleteFlowResponse {
}

export interface RunFlowRequest {
  flow?: string;
  text?: string;
  version?: number;
  name?: string;
  runId?: string;
  userId?: string;
  env?: Record<string, string>;
  params?: Bytes;
  set?: string[];
  profiles?: string;
  job?: string;
  priority?: number;
  bundle?: RunBundle;
  noDeps?: boolean;
  jobOutputs?: string[];
}

export interface RunBundle {
  id?: string;
  fingerprint?: string;
  digest?: string;
  stale?: boolean;
  flow?: string;
}

export interface FlowRun {
  flowId?: string;
  runId?: string;
  treeId?: string;
  revision?: number;
  outcome?: string;
  version?: number;
  sha256?: Bytes;
  userId?: string;
  createdBy?: string;
  createdAt?: Timestamp;
  env?: Record<string, string>;
  params?: Bytes;
  set?: string[];
  jobs?: Bytes;
  truncated?: boolean;
  revisions?: FlowRevision[];
  existing?: boolean;
  warnings?: string[];
  profiles?: string;
  job?: string;
  priority?: number;
  noDeps?: boolean;
  jobOutputs?: string[];
  bundle?: RunBundle;
  schedule?: FlowRunSchedule;
  registeredProfiles?: string[];
}

export interface FlowRunSchedule {
  id?: string;
  fireTime?: Timestamp;
}

export interface FlowRevision {
  revision?: number;
  treeId?: string;
  outcome?: string;
  version?: number;
  sha256?: Bytes;
  createdBy?: string;
  createdAt?: Timestamp;
}

export interface GetFlowRunRequest {
  run?: string;
}

export interface ListFlowRunsRequest {
  flow?: string;
  userId?: string;
  outcome?: string;
  since?: Timestamp;
  limit?: number;
  cursor?: string;
}

export interface ListFlowRunsResponse {
  runs?: FlowRun[];
  cursor?: string;
}

export interface CancelFlowRunRequest {
  run?: string;
  reason?: string;
}

export interface CancelFlowRunResponse {
  cancelled?: boolean;
}

export interface ResumeFlowRunRequest {
  run?: string;
  flow?: string;
  text?: string;
  version?: number;
  name?: string;
}

export interface RestartFlowRunRequest {
  run?: string;
  runId?: string;
}

export interface ApplyBundleRequest {
  id?: string;
  fingerprint?: string;
  source?: string;
  files?: BundleFile[];
  userId?: string;
  entryFlow?: string;
  profilesFile?: string;
  enterprise?: boolean;
  zipDrivers?: string[];
  secrets?: string[];
  publicEnv?: string[];
  pluginsDir?: string;
}

export interface BundleFile {
  path?: string;
  sha256?: string;
  size?: Int64;
}

export interface Bundle {
  id?: string;
  fingerprint?: string;
  digest?: string;
  source?: string;
  userId?: string;
  files?: number;
  bytes?: Int64;
  createdBy?: string;
  createdAt?: Timestamp;
  appliedAt?: Timestamp;
  fresh?: boolean;
  missing?: string[];
  entryFlow?: string;
}

export interface PutBundleFileRequest {
  data?: Bytes;
}

export interface PutBundleFileResponse {
  sha256?: string;
}

export interface ListBundlesRequest {
  id?: string;
  userId?: string;
  limit?: number;
  cursor?: string;
}

export interface ListBundlesResponse {
  bundles?: Bundle[];
  cursor?: string;
}

export interface DeleteBundleRequest {
  id?: string;
}

export interface DeleteBundleResponse {
}

export interface ApplyProfilesRequest {
  name?: string;
  text?: string;
  userId?: string;
  preview?: boolean;
}

export interface ApplyProfilesResponse {
  profiles?: Profile[];
}

export interface Profile {
  name?: string;
  version?: number;
  sha256?: Bytes;
  body?: Bytes;
  userId?: string;
  createdBy?: string;
  createdAt?: Timestamp;
  fresh?: boolean;
  versions?: number;
}

export interface GetProfileRequest {
  name?: string;
  version?: number;
}

export interface ListProfilesRequest {
  userId?: string;
  limit?: number;
  cursor?: string;
}

export interface ListProfilesResponse {
  profiles?: Profile[];
  cursor?: string;
}

export interface DeleteProfileRequest {
  name?: string;
}

export interface DeleteProfileResponse {
}

export interface HoldRequest {
  treeId?: string;
  reason?: string;
}

export interface HoldInfo {
  treeId?: string;
  setBy?: string;
  setAt?: Timestamp;
  reason?: string;
}

export interface ReleaseRequest {
  treeId?: string;
}

export interface ReleaseResponse {
}

export interface ListHoldsRequest {
  userId?: string;
  limit?: number;
  cursor?: string;
}

export interface ListHoldsResponse {
  holds?: HoldInfo[];
  cursor?: string;
}

export interface EraseRequest {
  userId?: string;
  cancel?: boolean;
  preview?: boolean;
}

export interface ErasureInfo {
  id?: string;
  userId?: string;
  cancel?: boolean;
  askedBy?: string;
  askedAt?: Timestamp;
  step?: string;
  movedAt?: Timestamp;
  finishedAt?: Timestamp;
  counts?: Record<string, Int64>;
}

export interface GetErasureRequest {
  id?: string;
}

export interface ListErasuresRequest {
  limit?: number;
  cursor?: string;
}

export interface ListErasuresResponse {
  erasures?: ErasureInfo[];
  cursor?: string;
}

export interface APIKey {
  id?: string;
  name?: string;
  namespace?: string;
  userId?: string;
  maker?: string;
  roles?: string[];
  scopes?: string[];
  createdAt?: Timestamp;
  expiresAt?: Timestamp;
  usedAt?: Timestamp;
  revokedAt?: Timestamp;
}

export interface CreateAPIKeyRequest {
  name?: string;
  userId?: string;
  roles?: string[];
  scopes?: string[];
  expires?: Duration;
}

export interface NewAPIKey {
  key?: APIKey;
  secret?: string;
}

export interface ListAPIKeysRequest {
  userId?: string;
  ended?: boolean;
  limit?: number;
  cursor?: string;
}

export interface ListAPIKeysResponse {
  keys?: APIKey[];
  nextCursor?: string;
}

export interface RevokeAPIKeyRequest {
  id?: string;
}

export interface RotateAPIKeyRequest {
  id?: string;
  grace?: Duration;
}

export interface LimitTarget {
  key?: string;
  rate?: string;
  pool?: string;
  userId?: string;
  lock?: string;
}

export interface SetLimitRequest {
  target?: LimitTarget;
  max?: number;
  running?: number;
  waiting?: number;
  per?: string;
  burst?: number;
  reason?: string;
  owner?: string;
  revision?: number;
}

export interface LimitRule {
  target?: LimitTarget;
  max?: number;
  running?: number;
  waiting?: number;
  per?: string;
  burst?: number;
  setBy?: string;
  setAt?: Timestamp;
  reason?: string;
  held?: Int64;
  waiters?: Int64;
  counted?: boolean;
  weight?: number;
  owner?: string;
  revision?: number;
}

export interface ListLimitsRequest {
  all?: boolean;
  limit?: number;
  cursor?: string;
}

export interface ListLimitsResponse {
  limits?: LimitRule[];
  cursor?: string;
}

export interface DeleteLimitRequest {
  target?: LimitTarget;
  revision?: number;
}

export interface DeleteLimitResponse {
}

export interface ListLocksRequest {
  limit?: number;
  cursor?: string;
  key?: string;
}

export interface ListLocksResponse {
  locks?: HeldLock[];
  cursor?: string;
}

export interface HeldLock {
  key?: string;
  token?: Int64;
  since?: Timestamp;
  taskId?: string;
  taskName?: string;
  treeId?: string;
  attempt?: number;
  forId?: string;
  forName?: string;
  waiters?: Int64;
}

export interface BreakLockRequest {
  key?: string;
  reason?: string;
  token?: Int64;
  holder?: string;
}

export interface SetWeightRequest {
  userId?: string;
  weight?: number;
}

export interface SetWeightResponse {
}

export interface PauseTarget {
  treeId?: string;
  pool?: string;
  everything?: boolean;
}

export interface PauseRequest {
  target?: PauseTarget;
  reason?: string;
}

export interface PauseInfo {
  target?: PauseTarget;
  setBy?: string;
  setAt?: Timestamp;
  reason?: string;
}

export interface ResumeRequest {
  target?: PauseTarget;
}

export interface ResumeResponse {
}

export interface ListPausesRequest {
  limit?: number;
  cursor?: string;
}

export interface ListPausesResponse {
  pauses?: PauseInfo[];
  cursor?: string;
}

export interface Quotas {
  openTrees?: Int64;
  trees?: Int64;
  tasks?: Int64;
  bytes?: Int64;
}

export interface Namespace {
  name?: string;
  description?: string;
  createdAt?: Timestamp;
  quotas?: Quotas;
  stored?: Quotas;
  deleting?: boolean;
}

export interface CreateNamespaceRequest {
  name?: string;
  description?: string;
  quotas?: Quotas;
}

export interface GetNamespaceRequest {
  name?: string;
}

export interface ListNamespacesRequest {
  limit?: number;
  cursor?: string;
}

export interface ListNamespacesResponse {
  namespaces?: Namespace[];
  nextCursor?: string;
}

export interface UpdateNamespaceRequest {
  name?: string;
  description?: string;
  quotas?: Quotas;
}

export interface DeleteNamespaceRequest {
  name?: string;
  force?: boolean;
}

export interface DeleteNamespaceResponse {
  left?: Namespace;
}

export interface PoolRule {
  pool?: string;
  namespaces?: string[];
  executors?: string[];
  connections?: string[];
  secrets?: string[];
}

export interface SetPoolRuleRequest {
  rule?: PoolRule;
}

export interface ListPoolRulesRequest {
}

export interface ListPoolRulesResponse {
  rules?: PoolRule[];
}

export interface DeletePoolRuleRequest {
  pool?: string;
}

export interface DeletePoolRuleResponse {
}

export interface ListAuditRequest {
  namespace?: string;
  caller?: string;
  method?: string;
  outcome?: string;
  task?: string;
  since?: Timestamp;
  before?: Timestamp;
  pageSize?: number;
  cursor?: string;
}

export interface ListAuditResponse {
  calls?: AuditCall[];
  nextCursor?: string;
}

export interface AuditCall {
  entry?: AuditEntry;
  endedAt?: Timestamp;
}

export interface AuditEntry {
  seq?: Int64;
  at?: Timestamp;
  kind?: string;
  of?: Int64;
  namespace?: string;
  method?: string;
  permission?: string;
  outcome?: string;
  code?: string;
  error?: string;
  caller?: AuditCaller;
  task?: string;
  trace?: string;
  count?: Int64;
  coordinator?: string;
  details?: Record<string, string>;
  key?: string;
  prev?: Bytes;
  hash?: Bytes;
}

export interface AuditCaller {
  kind?: string;
  name?: string;
  user?: string;
  issuer?: string;
  keyId?: string;
  from?: string;
  surface?: string;
}

export interface ReadAuditRequest {
  namespace?: string;
  after?: Int64;
  since?: Timestamp;
  before?: Timestamp;
  follow?: boolean;
}

export interface VerifyAuditRequest {
  heads?: AuditHead[];
}

export interface AuditHead {
  seq?: Int64;
  hash?: Bytes;
}

export interface VerifyAuditResponse {
  entries?: Int64;
  unchecked?: Int64;
  head?: AuditHead;
  faults?: AuditFault[];
  done?: boolean;
}

export interface AuditFault {
  seq?: Int64;
  kind?: string;
  text?: string;
}

export interface NextInstantsRequest {
  cron?: string;
  timezone?: string;
  n?: number;
  after?: Timestamp;
}

export interface NextInstantsResponse {
  instants?: Instant[];
}

export interface Instant {
  at?: Timestamp;
  local?: string;
}

export interface Schedule {
  id?: string;
  description?: string;
  cron?: string;
  every?: string;
  on?: ScheduleOn;
  timezone?: string;
  tree?: Bytes;
  parameters?: Bytes;
  overlap?: string;
  misfireGrace?: string;
  coalesce?: boolean;
  jitter?: string;
  startAt?: Timestamp;
  endAt?: Timestamp;
  maxRuns?: number;
  afterSuccess?: boolean;
  due?: string;
  paused?: boolean;
  userId?: string;
  labels?: Record<string, string>;
  owner?: string;
  retention?: string;
  flow?: ScheduleFlow;
}

export interface ScheduleFlow {
  id?: string;
  version?: number;
  job?: string;
  params?: Bytes;
  env?: Record<string, string>;
  priority?: number;
  timeoutSeconds?: number;
  noDeps?: boolean;
  jobOutputs?: string[];
}

export interface ScheduleOn {
  schedule?: string;
  outcome?: string[];
  webhook?: ScheduleWebhook;
}

export interface ScheduleWebhook {
  parameters?: Record<string, string>;
  tolerance?: string;
}

export interface ScheduleInfo {
  schedule?: Schedule;
  revision?: number;
  createdBy?: string;
  createdAt?: Timestamp;
  updatedBy?: string;
  updatedAt?: Timestamp;
  pausedBy?: string;
  pausedAt?: Timestamp;
  pauseReason?: string;
  next?: Timestamp;
  runs?: number;
  webhookPath?: string;
  webhookUrl?: string;
  secretAt?: Timestamp;
  secretUntil?: Timestamp;
}

export interface CreateScheduleRequest {
  schedule?: Schedule;
  preview?: boolean;
  beside?: string[];
  besideFlows?: string[];
}

export interface GetScheduleRequest {
  id?: string;
}

export interface ListSchedulesRequest {
  userId?: string;
  limit?: number;
  cursor?: string;
}

export interface ListSchedulesResponse {
  schedules?: ScheduleInfo[];
  cursor?: string;
}

export interface UpdateScheduleRequest {
  schedule?: Schedule;
  revision?: number;
  preview?: boolean;
  beside?: string[];
  besideFlows?: string[];
}

export interface PauseScheduleRequest {
  id?: string;
  reason?: string;
}

export interface ResumeScheduleRequest {
  id?: string;
}

export interface TriggerScheduleRequest {
  id?: string;
  parameters?: Bytes;
  overlap?: string;
  idempotencyKey?: string;
}

export interface BackfillScheduleRequest {
  id?: string;
  from?: Timestamp;
  to?: Timestamp;
  maxConcurrent?: number;
  parameters?: Bytes;
}

export interface BackfillScheduleResponse {
  backfill?: Int64;
  instants?: number;
}

export interface DeleteScheduleRequest {
  id?: string;
  revision?: number;
}

export interface DeleteScheduleResponse {
}

export interface RenewScheduleSecretRequest {
  id?: string;
  secret?: string;
  keep?: Duration;
}

export interface RenewScheduleSecretResponse {
  secret?: string;
  path?: string;
  url?: string;
  at?: Timestamp;
  until?: Timestamp;
}

export interface ListScheduleRunsRequest {
  id?: string;
  limit?: number;
  cursor?: string;
}

export interface ListScheduleRunsResponse {
  runs?: ScheduleRun[];
  cursor?: string;
}

export interface ScheduleRun {
  schedule?: string;
  kind?: string;
  fireTime?: Timestamp;
  intervalStart?: Timestamp;
  status?: string;
  reason?: string;
  treeId?: string;
  backfill?: Int64;
  until?: Timestamp;
  count?: number;
  due?: Timestamp;
  late?: boolean;
  decidedAt?: Timestamp;
  startedAt?: Timestamp;
  endedAt?: Timestamp;
  flowId?: string;
  flowVersion?: number;
  runId?: string;
}

export interface GetSealStatusRequest {
}

export interface SealStatus {
  sealed?: boolean;
  since?: Timestamp;
  master?: string;
  keys?: SealKey[];
  round?: Int64;
  underWay?: boolean;
  rows?: Int64;
  generation?: number;
}

export interface SealKey {
  number?: number;
  namespace?: string;
  master?: string;
  createdAt?: Timestamp;
  retiredAt?: Timestamp;
}

export interface RotateDataKeysRequest {
  namespace?: string;
}

export interface RotateDataKeysResponse {
  keys?: SealKey[];
}

export interface RewrapDataKeysRequest {
}

export interface RewrapDataKeysResponse {
  keys?: number;
}

export interface RotateTokensRequest {
}

export interface RotateTokensResponse {
  generation?: number;
}

export interface SubmitRequest {
  options?: SubmitOptions;
  tasks?: NewTask[];
}

export interface SubmitTreeRequest {
  options?: SubmitOptions;
  tasks?: NewTask[];
  document?: unknown;
  parameters?: Record<string, unknown>;
}

export interface SubmitTreesRequest {
  options?: SubmitOptions;
  trees?: NewTree[];
}

export interface NewTree {
  tasks?: NewTask[];
  document?: unknown;
  parameters?: Record<string, unknown>;
  idempotencyKey?: string;
  timeout?: Duration;
  retention?: string;
  due?: string;
}

export interface SubmitTreesResponse {
  trees?: SubmitResponse[];
}

export interface AddTasksRequest {
  parentId?: string;
  tasks?: NewTask[];
  document?: unknown;
  userId?: string;
  parameters?: Record<string, unknown>;
}

export interface UpdateTaskRequest {
  id?: string;
  name?: string;
  priority?: number;
  dependencies?: DependencyList;
  inputs?: Bytes;
  params?: Bytes;
  schemas?: Bytes;
  status?: string;
  error?: string;
  result?: Bytes;
  progress?: number;
  startedAt?: Timestamp;
  completedAt?: Timestamp;
  limits?: LimitList;
  lock?: Lock;
  rates?: RateList;
}

export interface LimitList {
  limits?: Limit[];
}

export interface RateList {
  rates?: Rate[];
}

export interface DependencyList {
  dependencies?: Dependency[];
}

export interface DeleteTaskRequest {
  id?: string;
  force?: boolean;
  alone?: boolean;
}

export interface DeleteTaskResponse {
  tasks?: Int64;
}

export interface CopyTaskRequest {
  taskId?: string;
  mode?: string;
  children?: boolean;
  taskIds?: string[];
  includeChildren?: boolean;
  resetFields?: string[];
  preview?: boolean;
  idempotencyKey?: string;
  execute?: ExecuteRequest;
}

export interface CopyTaskResponse {
  treeId?: string;
  tasks?: Task[];
  omitted?: Int64;
  replayed?: boolean;
  execution?: ExecuteResponse;
}

export interface GenerateRequest {
  requirement?: string;
  userId?: string;
  provider?: string;
  model?: string;
  temperature?: number;
  maxTokens?: Int64;
  maxTasks?: Int64;
  executors?: string[];
  allowCommands?: boolean;
  budget?: Bytes;
  onExhausted?: string;
  timeout?: Duration;
  save?: boolean;
}

export interface GenerateResponse {
  taskId?: string;
  tasks?: Bytes;
  count?: Int64;
  message?: string;
  model?: string;
  repaired?: boolean;
  warnings?: string[];
  rootTaskId?: string;
  idMap?: Record<string, string>;
}

export interface SubmitOptions {
  idempotencyKey?: string;
  userId?: string;
  hold?: boolean;
  timeout?: Duration;
  demo?: boolean;
  webhook?: Webhook;
  requireExisting?: boolean;
  labels?: Record<string, string>;
  unique?: Unique;
  retention?: string;
  noCache?: boolean;
  due?: string;
}

export interface UniqueKey {
  key?: string;
  until?: Timestamp;
}

export interface Unique {
  key?: string;
  for?: Duration;
  onConflict?: string;
}

export interface Webhook {
  url?: string;
  method?: string;
  headers?: Record<string, string>;
  timeout?: Duration;
  maxAttempts?: number;
  secret?: string;
  body?: Bytes;
}

export interface NewTask {
  id?: string;
  name?: string;
  parentId?: string;
  userId?: string;
  priority?: number;
  dependencies?: Dependency[];
  inputs?: Bytes;
  params?: Bytes;
  schemas?: Bytes;
  pool?: string;
  retry?: RetryPolicy;
  timeout?: Duration;
  scheduleToStart?: Duration;
  notBefore?: Timestamp;
  onLost?: string;
  repeatable?: boolean;
  custom?: Bytes;
  executor?: string;
  labels?: Record<string, string>;
  when?: string;
  fold?: boolean;
  allowFailure?: boolean;
  template?: boolean;
  outputs?: Bytes;
  repeat?: Repeat;
  artifacts?: string[];
  imported?: Imported;
  limits?: Limit[];
  lock?: Lock;
  rates?: Rate[];
  unique?: Unique;
  cache?: Cache;
  flowStep?: Bytes;
}

export interface Cache {
  key?: string;
  version?: string;
  for?: Duration;
}

export interface CachedFrom {
  taskId?: string;
  treeId?: string;
}

export interface Limit {
  key?: string;
  max?: number;
  cost?: number;
}

export interface Lock {
  key?: string;
  onContention?: string;
  waitTimeout?: Duration;
  hold?: string;
}

export interface Rate {
  key?: string;
  per?: string;
  max?: number;
  burst?: number;
}

export interface Repeat {
  until?: string;
  max?: number;
  delay?: Duration;
}

export interface Imported {
  outcome?: string;
  result?: Bytes;
  error?: string;
  attempts?: number;
}

export interface Dependency {
  id?: string;
  required?: boolean;
  type?: string;
  accept?: string[];
  otherwise?: string;
  merge?: boolean;
  skips?: boolean;
}

export interface RetryPolicy {
  maxAttempts?: number;
  backoff?: string;
  initialDelay?: Duration;
  maxDelay?: Duration;
  multiplier?: number;
  jitter?: string;
  retryOn?: string[];
  noRetryOn?: string[];
}

export interface SubmitResponse {
  treeId?: string;
  tasks?: Int64;
  replayed?: boolean;
  idMap?: Record<string, string>;
  warnings?: Warning[];
  existing?: boolean;
}

export interface Warning {
  field?: string;
  reason?: string;
}

export interface ExecuteRequest {
  taskId?: string;
  force?: boolean;
  rerunDependencies?: boolean;
  demo?: boolean;
  rerunCancelled?: boolean;
  keepCompleted?: boolean;
  webhook?: Webhook;
  noCache?: boolean;
  dryRun?: boolean;
}

export interface ExecuteResponse {
  treeId?: string;
  status?: string;
  tasks?: Int64;
  cancelledId?: string;
  planned?: Match[];
}

export interface SkipTaskRequest {
  taskId?: string;
}

export interface SignalRequest {
  taskId?: string;
  name?: string;
  payload?: Bytes;
  idempotencyKey?: string;
}

export interface SignalResponse {
  status?: string;
  task?: Task;
}

export interface ApproveRequest {
  taskId?: string;
  choice?: string;
  comment?: string;
  payload?: Bytes;
  token?: string;
}

export interface LinkApprovalRequest {
  taskId?: string;
  name?: string;
  expires?: Duration;
}

export interface LinkApprovalResponse {
  token?: string;
  path?: string;
  url?: string;
  expiresAt?: Timestamp;
}

export interface Artifact {
  name?: string;
  taskId?: string;
  attempt?: number;
  kind?: string;
  sha256?: string;
  size?: Int64;
  mediaType?: string;
  createdAt?: Timestamp;
  taskName?: string;
}

export interface ListArtifactsRequest {
  taskId?: string;
  tree?: boolean;
  cursor?: string;
  limit?: number;
}

export interface ListArtifactsResponse {
  artifacts?: Artifact[];
  cursor?: string;
}

export interface GetArtifactRequest {
  taskId?: string;
  name?: string;
  attempt?: number;
  offset?: Int64;
}

export interface GetArtifactResponse {
  artifact?: Artifact;
  data?: Bytes;
}

export interface GetTaskRequest {
  id?: string;
}

export interface GetTreeRequest {
  id?: string;
}

export interface Task {
  id?: string;
  treeId?: string;
  parentId?: string;
  userId?: string;
  name?: string;
  status?: string;
  state?: string;
  priority?: number;
  dependencies?: Dependency[];
  inputs?: Bytes;
  params?: Bytes;
  schemas?: Bytes;
  result?: Bytes;
  error?: string;
  progress?: number;
  executor?: string;
  pool?: string;
  attempt?: number;
  blockedBy?: string[];
  hasChildren?: boolean;
  worker?: string;
  createdAt?: Timestamp;
  startedAt?: Timestamp;
  updatedAt?: Timestamp;
  completedAt?: Timestamp;
  dueAt?: Timestamp;
  custom?: Bytes;
  repeatable?: boolean;
  options?: TaskOptions;
  usage?: Usage;
  ref?: string;
  originalTaskId?: string;
  hasCopy?: boolean;
  labels?: Record<string, string>;
  outcome?: string;
  skipReason?: string;
  errorKind?: string;
  outputs?: Bytes;
  when?: string;
  fold?: boolean;
  allowFailure?: boolean;
  waiting?: Waiting;
  expansion?: Expansion;
  template?: boolean;
  repeat?: Repeat;
  repeats?: number;
  subtreeId?: string;
  repeatExhausted?: boolean;
  limits?: Limit[];
  lock?: Lock;
  rates?: Rate[];
  cache?: Cache;
  cachedFrom?: CachedFrom;
  readyAt?: Timestamp;
  place?: number;
  mayAnswer?: boolean;
}

export interface Waiting {
  kind?: string;
  name?: string;
  since?: Timestamp;
  until?: Timestamp;
  data?: Bytes;
  treeId?: string;
}

export interface Expansion {
  tasks?: number;
  made?: number;
  unfinished?: number;
  window?: number;
}

export interface TaskOptions {
  retry?: RetryPolicy;
  timeout?: Duration;
  scheduleToStart?: Duration;
  notBefore?: Timestamp;
  onLost?: string;
  treeTimeout?: Duration;
  outputs?: Bytes;
  artifacts?: string[];
  imported?: Imported;
  found?: boolean;
  retention?: string;
  flowStep?: Bytes;
}

export interface Tree {
  id?: string;
  name?: string;
  userId?: string;
  status?: string;
  progress?: number;
  tasks?: Int64;
  unfinished?: Int64;
  running?: Int64;
  completed?: Int64;
  failed?: Int64;
  cancelled?: Int64;
  blocked?: Int64;
  held?: Int64;
  sequence?: Int64;
  createdAt?: Timestamp;
  startedAt?: Timestamp;
  finishedAt?: Timestamp;
  usage?: Usage;
  labels?: Record<string, string>;
  skipped?: Int64;
  failuresAllowed?: Int64;
  retention?: string;
  hold?: HoldInfo;
  unique?: UniqueKey;
  due?: Timestamp;
  late?: Timestamp;
  onlyOptionalFailed?: boolean;
}

export interface ListTasksRequest {
  treeId?: string;
  status?: string;
  parentId?: string;
  limit?: number;
  cursor?: string;
  state?: string;
  name?: string;
  executor?: string;
  since?: Timestamp;
  before?: Timestamp;
  userId?: string;
  asSubmitted?: boolean;
  originalTaskId?: string;
  custom?: Record<string, string>;
  rootOnly?: boolean;
  offset?: number;
  labels?: Record<string, string>;
  places?: number[];
  error?: string;
  approvals?: boolean;
}

export interface ListTasksResponse {
  tasks?: Task[];
  nextCursor?: string;
}

export interface ListTreesRequest {
  userId?: string;
  status?: string;
  running?: boolean;
  limit?: number;
  cursor?: string;
  name?: string;
  since?: Timestamp;
  before?: Timestamp;
  labels?: Record<string, string>;
  namePart?: string;
}

export interface ListTreesResponse {
  trees?: Tree[];
  nextCursor?: string;
}

export interface ResolveRequest {
  ref?: string;
}

export interface ResolveResponse {
  tasks?: Match[];
  more?: boolean;
}

export interface Match {
  id?: string;
  treeId?: string;
  name?: string;
  status?: string;
}

export interface ListAttemptsRequest {
  taskId?: string;
}

export interface ListAttemptsResponse {
  attempts?: TaskAttempt[];
}

export interface TaskAttempt {
  number?: number;
  outcome?: string;
  counted?: boolean;
  error?: string;
  detail?: string;
  result?: Bytes;
  worker?: string;
  startedAt?: Timestamp;
  finishedAt?: Timestamp;
  usage?: Usage;
  kind?: string;
  outputs?: Bytes;
  cancelledAt?: Timestamp;
}

export interface WatchRequest {
  id?: string;
  after?: Int64;
}

export interface SnapshotTreeRequest {
  id?: string;
  ids?: boolean;
  only?: number[];
}

export interface SnapshotPart {
  tree?: Tree;
  tasks?: number;
  places?: Bytes;
  names?: string[];
  ids?: string[];
  parents?: Bytes;
  dependencies?: Bytes;
  states?: Bytes;
  executors?: string[];
  executor?: Bytes;
  pools?: string[];
  pool?: Bytes;
  attempts?: Bytes;
  ready?: Bytes;
  started?: Bytes;
  completed?: Bytes;
}

export interface Event {
  sequence?: Int64;
  type?: string;
  treeId?: string;
  taskId?: string;
  name?: string;
  status?: string;
  attempt?: number;
  progress?: number;
  message?: string;
  result?: Bytes;
  error?: string;
  at?: Timestamp;
  tree?: Tree;
  pieces?: Piece[];
  usage?: Usage;
  place?: number;
}

export interface Usage {
  calls?: Int64;
  promptTokens?: Int64;
  completionTokens?: Int64;
  cachedPromptTokens?: Int64;
  costs?: Cost[];
  unpricedCalls?: Int64;
  models?: ModelUsage[];
}

export interface Cost {
  nanos?: Int64;
  currency?: string;
}

export interface ModelUsage {
  model?: string;
  usage?: Usage;
}

export interface ListUsageRequest {
  by?: string;
  since?: Timestamp;
  before?: Timestamp;
  userId?: string;
  treeId?: string;
  model?: string;
  limit?: number;
  cursor?: string;
}

export interface ListUsageResponse {
  groups?: UsageGroup[];
  nextCursor?: string;
}

export interface UsageGroup {
  key?: string;
  usage?: Usage;
}

export interface Piece {
  kind?: string;
  agent?: string;
  name?: string;
  text?: string;
}

export interface CancelRequest {
  id?: string;
  force?: boolean;
  message?: string;
  cascade?: boolean;
}

export interface CancelResponse {
  status?: string;
  message?: string;
  currentStatus?: string;
}

export interface LogsRequest {
  taskId?: string;
  attempt?: number;
  follow?: boolean;
  tree?: boolean;
  tail?: number;
  since?: Timestamp;
}

export interface LogLine {
  attempt?: number;
  stream?: string;
  text?: string;
  at?: Timestamp;
  number?: Int64;
  taskId?: string;
  name?: string;
}

export interface ListWorkersRequest {
}

export interface ListWorkersResponse {
  workers?: Worker[];
}

export interface Worker {
  id?: string;
  instance?: string;
  host?: string;
  state?: string;
  pools?: Record<string, number>;
  running?: number;
  startedAt?: Timestamp;
  leaseUntil?: Timestamp;
  build?: string;
  level?: number;
  faults?: string[];
  unasked?: number;
  inLine?: number;
  counts?: Record<string, PoolCounts>;
}

export interface PoolCounts {
  running?: number;
  started?: Int64;
  ended?: Int64;
}

export interface ListCoordinatorsRequest {
}

export interface ListCoordinatorsResponse {
  coordinators?: Coordinator[];
}

export interface Coordinator {
  name?: string;
  instance?: string;
  version?: string;
  level?: number;
  startedAt?: Timestamp;
  leaseUntil?: Timestamp;
}

export interface ListPoolsRequest {
}

export interface ListPoolsResponse {
  pools?: Pool[];
}

export interface Pool {
  name?: string;
  ready?: Int64;
  queued?: Int64;
  capacity?: number;
  workers?: number;
  oldest?: Duration;
}

export interface ListExecutorsRequest {
  cursor?: string;
}

export interface ListExecutorsResponse {
  executors?: Executor[];
  nextCursor?: string;
}

export interface GetExecutorRequest {
  id?: string;
}

export interface Executor {
  id?: string;
  type?: string;
  name?: string;
  description?: string;
  tags?: string[];
  inputs?: Bytes;
  output?: Bytes;
  cancelable?: boolean;
  repeatable?: boolean;
  timeout?: Duration;
  secrets?: boolean;
  connection?: ConnectionUse;
  examples?: ExecutorExample[];
  builtIn?: boolean;
  pools?: string[];
  workers?: number;
  differs?: string;
}

export interface ConnectionUse {
  types?: string[];
  fields?: string[];
}

export interface ExecutorExample {
  title?: string;
  inputs?: Bytes;
  params?: Bytes;
  schemas?: Bytes;
}

export interface WhyRequest {
  taskId?: string;
}

export interface WhyResponse {
  taskId?: string;
  treeId?: string;
  status?: string;
  state?: string;
  summary?: string;
  waits?: Wait[];
  name?: string;
}

export interface Wait {
  kind?: string;
  text?: string;
  taskId?: string;
  taskState?: string;
  error?: string;
  pool?: string;
  until?: Timestamp;
  since?: Timestamp;
  ahead?: Int64;
  capacity?: number;
  attempt?: number;
  worker?: string;
  taskName?: string;
}

export interface VerifyRequest {
  treeId?: string;
}

export interface Violation {
  kind?: string;
  treeId?: string;
  taskId?: string;
  text?: string;
}

export interface CreateWebhookRequest {
  webhook?: Webhook;
  name?: string;
  events?: string[];
  userId?: string;
  tree?: string;
  labels?: Record<string, string>;
  owner?: string;
}

export interface ListWebhooksRequest {
  taskId?: string;
  limit?: number;
  cursor?: string;
}

export interface ListWebhooksResponse {
  webhooks?: WebhookInfo[];
  nextCursor?: string;
}

export interface GetWebhookRequest {
  id?: string;
}

export interface UpdateWebhookRequest {
  id?: string;
  url?: string;
  method?: string;
  headers?: StringMap;
  timeout?: Duration;
  maxAttempts?: number;
  secret?: string;
  body?: Bytes;
  name?: string;
  events?: string[];
  userId?: string;
  tree?: string;
  labels?: StringMap;
  enabled?: boolean;
  owner?: string;
  revision?: number;
}

export interface StringMap {
  entries?: Record<string, string>;
}

export interface DeleteWebhookRequest {
  id?: string;
  revision?: number;
}

export interface DeleteWebhookResponse {
}

export interface TestWebhookRequest {
  id?: string;
}

export interface ListDeliveriesRequest {
  webhookId?: string;
  failed?: boolean;
  limit?: number;
  cursor?: string;
}

export interface ListDeliveriesResponse {
  deliveries?: Delivery[];
  nextCursor?: string;
}

export interface ResendDeliveryRequest {
  deliveryId?: string;
}

export interface WebhookInfo {
  id?: string;
  treeId?: string;
  name?: string;
  url?: string;
  method?: string;
  headerNames?: string[];
  timeout?: Duration;
  maxAttempts?: number;
  ownSecret?: boolean;
  signed?: boolean;
  body?: Bytes;
  form?: string;
  events?: string[];
  userId?: string;
  tree?: string;
  labels?: Record<string, string>;
  state?: string;
  reason?: string;
  createdAt?: Timestamp;
  waiting?: Int64;
  failingFrom?: Timestamp;
  owner?: string;
  revision?: number;
}

export interface Delivery {
  id?: string;
  webhookId?: string;
  messageId?: string;
  treeId?: string;
  sequence?: Int64;
  event?: string;
  outcome?: string;
  attempts?: number;
  status?: number;
  latency?: Duration;
  error?: string;
  at?: Timestamp;
}

/** Calls with one answer: the request and the answer of each. */
export interface Calls {
  'AccessService/WhoAmI': [WhoAmIRequest, WhoAmIResponse];
  'AccessService/CanI': [CanIRequest, CanIResponse];
  'AccessService/ListRoles': [ListRolesRequest, ListRolesResponse];
  'AccessService/GrantRole': [GrantRoleRequest, StoredBinding];
  'AccessService/RevokeRole': [RevokeRoleRequest, RevokeRoleResponse];
  'AccessService/ListBindings': [ListBindingsRequest, ListBindingsResponse];
  'DoctorService/Diagnose': [DiagnoseRequest, Diagnosis];
  'FlowService/ValidateFlow': [ValidateFlowRequest, FlowReport];
  'FlowService/ApplyFlow': [ApplyFlowRequest, Flow];
  'FlowService/GetFlow': [GetFlowRequest, Flow];
  'FlowService/ListFlows': [ListFlowsRequest, ListFlowsResponse];
  'FlowService/DeleteFlow': [DeleteFlowRequest, DeleteFlowResponse];
  'FlowService/RunFlow': [RunFlowRequest, FlowRun];
  'FlowService/GetFlowRun': [GetFlowRunRequest, FlowRun];
  'FlowService/ListFlowRuns': [ListFlowRunsRequest, ListFlowRunsResponse];
  'FlowService/CancelFlowRun': [CancelFlowRunRequest, CancelFlowRunResponse];
  'FlowService/ResumeFlowRun': [ResumeFlowRunRequest, FlowRun];
  'FlowService/RestartFlowRun': [RestartFlowRunRequest, FlowRun];
  'FlowService/ApplyBundle': [ApplyBundleRequest, Bundle];
  'FlowService/PutBundleFile': [PutBundleFileRequest, PutBundleFileResponse];
  'FlowService/ListBundles': [ListBundlesRequest, ListBundlesResponse];
  'FlowService/DeleteBundle': [DeleteBundleRequest, DeleteBundleResponse];
  'FlowService/ApplyProfiles': [ApplyProfilesRequest, ApplyProfilesResponse];
  'FlowService/GetProfile': [GetProfileRequest, Profile];
  'FlowService/ListProfiles': [ListProfilesRequest, ListProfilesResponse];
  'FlowService/DeleteProfile': [DeleteProfileRequest, DeleteProfileResponse];
  'KeepingService/Hold': [HoldRequest, HoldInfo];
  'KeepingService/Release': [ReleaseRequest, ReleaseResponse];
  'KeepingService/ListHolds': [ListHoldsRequest, ListHoldsResponse];
  'KeepingService/Erase': [EraseRequest, ErasureInfo];
  'KeepingService/GetErasure': [GetErasureRequest, ErasureInfo];
  'KeepingService/ListErasures': [ListErasuresRequest, ListErasuresResponse];
  'KeyService/CreateAPIKey': [CreateAPIKeyRequest, NewAPIKey];
  'KeyService/ListAPIKeys': [ListAPIKeysRequest, ListAPIKeysResponse];
  'KeyService/RevokeAPIKey': [RevokeAPIKeyRequest, APIKey];
  'KeyService/RotateAPIKey': [RotateAPIKeyRequest, NewAPIKey];
  'LimitService/SetLimit': [SetLimitRequest, LimitRule];
  'LimitService/ListLimits': [ListLimitsRequest, ListLimitsResponse];
  'LimitService/DeleteLimit': [DeleteLimitRequest, DeleteLimitResponse];
  'LimitService/ListLocks': [ListLocksRequest, ListLocksResponse];
  'LimitService/BreakLock': [BreakLockRequest, HeldLock];
  'LimitService/SetWeight': [SetWeightRequest, SetWeightResponse];
  'LimitService/Pause': [PauseRequest, PauseInfo];
  'LimitService/Resume': [ResumeRequest, ResumeResponse];
  'LimitService/ListPauses': [ListPausesRequest, ListPausesResponse];
  'NamespaceService/CreateNamespace': [CreateNamespaceRequest, Namespace];
  'NamespaceService/GetNamespace': [GetNamespaceRequest, Namespace];
  'NamespaceService/ListNamespaces': [ListNamespacesRequest, ListNamespacesResponse];
  'NamespaceService/UpdateNamespace': [UpdateNamespaceRequest, Namespace];
  'NamespaceService/DeleteNamespace': [DeleteNamespaceRequest, DeleteNamespaceResponse];
  'PoolService/SetPoolRule': [SetPoolRuleRequest, PoolRule];
  'PoolService/ListPoolRules': [ListPoolRulesRequest, ListPoolRulesResponse];
  'PoolService/DeletePoolRule': [DeletePoolRuleRequest, DeletePoolRuleResponse];
  'AuditService/ListAudit': [ListAuditRequest, ListAuditResponse];
  'ScheduleService/CreateSchedule': [CreateScheduleRequest, ScheduleInfo];
  'ScheduleService/GetSchedule': [GetScheduleRequest, ScheduleInfo];
  'ScheduleService/ListSchedules': [ListSchedulesRequest, ListSchedulesResponse];
  'ScheduleService/UpdateSchedule': [UpdateScheduleRequest, ScheduleInfo];
  'ScheduleService/PauseSchedule': [PauseScheduleRequest, ScheduleInfo];
  'ScheduleService/ResumeSchedule': [ResumeScheduleRequest, ScheduleInfo];
  'ScheduleService/TriggerSchedule': [TriggerScheduleRequest, ScheduleRun];
  'ScheduleService/BackfillSchedule': [BackfillScheduleRequest, BackfillScheduleResponse];
  'ScheduleService/DeleteSchedule': [DeleteScheduleRequest, DeleteScheduleResponse];
  'ScheduleService/RenewScheduleSecret': [RenewScheduleSecretRequest, RenewScheduleSecretResponse];
  'ScheduleService/ListScheduleRuns': [ListScheduleRunsRequest, ListScheduleRunsResponse];
  'ScheduleService/NextInstants': [NextInstantsRequest, NextInstantsResponse];
  'SealService/GetSealStatus': [GetSealStatusRequest, SealStatus];
  'SealService/RotateDataKeys': [RotateDataKeysRequest, RotateDataKeysResponse];
  'SealService/RewrapDataKeys': [RewrapDataKeysRequest, RewrapDataKeysResponse];
  'SealService/RotateTokens': [RotateTokensRequest, RotateTokensResponse];
  'Taskgrove/SubmitTree': [SubmitTreeRequest, SubmitResponse];
  'Taskgrove/SubmitTrees': [SubmitTreesRequest, SubmitTreesResponse];
  'Taskgrove/AddTasks': [AddTasksRequest, SubmitResponse];
  'Taskgrove/UpdateTask': [UpdateTaskRequest, Task];
  'Taskgrove/DeleteTask': [DeleteTaskRequest, DeleteTaskResponse];
  'Taskgrove/CopyTask': [CopyTaskRequest, CopyTaskResponse];
  'Taskgrove/Execute': [ExecuteRequest, ExecuteResponse];
  'Taskgrove/GetTask': [GetTaskRequest, Task];
  'Taskgrove/GetTree': [GetTreeRequest, Tree];
  'Taskgrove/ListTasks': [ListTasksRequest, ListTasksResponse];
  'Taskgrove/ListTrees': [ListTreesRequest, ListTreesResponse];
  'Taskgrove/Resolve': [ResolveRequest, ResolveResponse];
  'Taskgrove/ListAttempts': [ListAttemptsRequest, ListAttemptsResponse];
  'Taskgrove/Cancel': [CancelRequest, CancelResponse];
  'Taskgrove/Signal': [SignalRequest, SignalResponse];
  'Taskgrove/Approve': [ApproveRequest, Task];
  'Taskgrove/LinkApproval': [LinkApprovalRequest, LinkApprovalResponse];
  'Taskgrove/SkipTask': [SkipTaskRequest, Task];
  'Taskgrove/ListArtifacts': [ListArtifactsRequest, ListArtifactsResponse];
  'Taskgrove/ListWorkers': [ListWorkersRequest, ListWorkersResponse];
  'Taskgrove/ListCoordinators': [ListCoordinatorsRequest, ListCoordinatorsResponse];
  'Taskgrove/ListPools': [ListPoolsRequest, ListPoolsResponse];
  'Taskgrove/ListExecutors': [ListExecutorsRequest, ListExecutorsResponse];
  'Taskgrove/GetExecutor': [GetExecutorRequest, Executor];
  'Taskgrove/ListUsage': [ListUsageRequest, ListUsageResponse];
  'Taskgrove/Why': [WhyRequest, WhyResponse];
  'Taskgrove/CreateWebhook': [CreateWebhookRequest, WebhookInfo];
  'Taskgrove/ListWebhooks': [ListWebhooksRequest, ListWebhooksResponse];
  'Taskgrove/GetWebhook': [GetWebhookRequest, WebhookInfo];
  'Taskgrove/UpdateWebhook': [UpdateWebhookRequest, WebhookInfo];
  'Taskgrove/DeleteWebhook': [DeleteWebhookRequest, DeleteWebhookResponse];
  'Taskgrove/TestWebhook': [TestWebhookRequest, Delivery];
  'Taskgrove/ListDeliveries': [ListDeliveriesRequest, ListDeliveriesResponse];
  'Taskgrove/ResendDelivery': [ResendDeliveryRequest, Delivery];
}

/** Calls that are answered by a stream: the request, and one message of the answer. */
export interface Streams {
  'AuditService/ReadAudit': [ReadAuditRequest, AuditEntry];
  'AuditService/VerifyAudit': [VerifyAuditRequest, VerifyAuditResponse];
  'Taskgrove/Generate': [GenerateRequest, GenerateResponse];
  'Taskgrove/Watch': [WatchRequest, Event];
  'Taskgrove/SnapshotTree': [SnapshotTreeRequest, SnapshotPart];
  'Taskgrove/Logs': [LogsRequest, LogLine];
  'Taskgrove/GetArtifact': [GetArtifactRequest, GetArtifactResponse];
  'Taskgrove/Verify': [VerifyRequest, Violation];
}
