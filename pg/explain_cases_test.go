package pg

import (
	"fmt"
	"strconv"
	"strings"
)

// big are the tables that grow with the work, of which no hot statement may read more than it asked for.
var big = []string{"tree", "task", "spec", "payload", "edge", "attempt", "ready", "published", "timer", "followup", "event", "submission", "chunk", "model_usage", "label", "copied", "agent_task", "audit_record", "share", "artifact", "content", "schedule", "fire"}

// explained is how a statement is tried on the store of [fillStore].
type explained struct {
	args string // of EXECUTE
	rows int    // the most rows that one scan or sort of it may read; 0: 2000, twice a tree's tasks
	// whole are big tables that it reads all of, by design; its comment says why.
	whole []string
}

// keys are n keys of a tree, from an index on.
func keys(tree, first, n int) string { return fmt.Sprintf("keys(%d, %d, %d)", tree, first, n) }

// fill is an array of n times the value.
func fill(value string, n int) string { return fmt.Sprintf("array_fill(%s, array[%d])", value, n) }

// followedUp are n tasks that have followups.
func followedUp(n int) string {
	var all []string
	for i := range n {
		all = append(all, strconv.Itoa((i+1)<<24+1))
	}
	return "'{" + strings.Join(all, ",") + "}'"
}

// of joins arguments.
func of(args ...string) string { return strings.Join(args, ", ") }

// In the store, tree 295 runs: 0-99 are running, 100-149 published, 150-199 ready, the others wait. In tree 300 all after 5
// depend on 5, in others each task depends on the one before. Trees up to 290 have ended.
var (
	aTree = "295::bigint << 24, 296::bigint << 24"
	trees = "'{295}'"
)

// runs are the places of two ready runs.
var runs = of("array[(295::bigint << 24) + 100, (296::bigint << 24) + 100]", "'{10,10}'", "'{1,1}'")

const whenArchived = "once for each range of keys of a tree that is archived"

var hot = map[string]explained{
	// expansions
	"ExpansionWork":    {},
	"TakeExpanding":    {args: of("7", "1")},
	"GrowWindows":      {args: keys(295, 0, 100)},
	"UnlockFrom":       {args: of(keys(295, 0, 100), "(295::bigint << 24) + 100")},
	"ItemsInProgress":  {args: of(aTree, "1")},
	"HasFailedBelow":   {args: aTree},
	"ReleasableAfter":  {args: of(aTree, "1000")},
	"UnfinishedAfter":  {args: of(aTree, "1000")},
	"FirstFailedBelow": {args: aTree},
	"ResultsBelow":     {args: of(aTree, "0")},

	// trees that tasks submit
	"SubtreeWork":    {args: "20"},
	"FlowsAbove":     {args: "(295::bigint << 24) + 5, 17"},
	"HoldWaiter":     {args: "(295::bigint << 24) + 5, 1"},
	"LockTask":       {args: "(295::bigint << 24) + 5"},
	"TellOfDeletion": {args: "295"},
	"LeftTrees":      {args: "(295::bigint << 24) + 5"},
	"LeaveTrees":     {args: "(295::bigint << 24) + 5, '{296}'"},
	"LeaveFollowup":  {args: "(295::bigint << 24) + 5"},
	"EndsOfSubtrees": {args: of(keys(295, 0, 1), "1000")},
	"FirstFailedOf":  {args: aTree},
	"SubtreesOf":     {args: keys(295, 0, 500)},

	"UniqueOf": {args: "295"},

	// schedules: 5000, each with 20 runs; the second run of the first 20 is due
	"DueSchedules":    {args: "256"},
	"NextSchedule":    {},
	"OpenFires":       {args: "'{1,2,3}'"},
	"LastRuns":        {args: of("'{1,2,3}'", "'{0,0,0}'")},
	"MoveFires":       {args: of("'{1,2}'", "'{2,2}'", "'{x,x}'")},
	"LockLateFires":   {args: "'{1,2}'"},
	"LockLateTrees":   {args: "'{1,2}'"},
	"RefusedRun":      {args: "1"},
	"MarkFires":       {args: "'{1,2}'"},
	"TellLateFires":   {args: "'{1,2}'"},
	"StopFires":       {args: "'{1,2}'"},
	"BeginAfterStops": {args: "'{1,2}'"},
	"DecideSchedules": {args: of("'{1,2}'", "'{2026-01-01,2026-01-01}'", "'{null,null}'", "'{1,1}'")},
	"ClaimFires":      {args: "64, 30"},
	"LastSuccesses":   {args: of("'{1,2,3}'", "65536")},
	"NextFire":        {},
	"GiveDue":         {args: of("'{295}'", "'{2030-01-01}'")},
	"RaiseLate":       {args: "'{295}'"},
	"BeginFires":      {args: of("'{2}'", "'{295}'", "'{x}'", "'{x}'", "'{1}'", "'{x}'")},
	"RefuseFire":      {args: "2, 6, 'x'"},
	"TakeFireEnds":    {args: "500"},
	"EndFires":        {args: keys(291, 0, 1)},
	"ForgetFires":     {args: "31622400, 1000"},
	"Fires":           {args: of("1", "null", "0", "101")},

	// limits
	"InsertWaiters":   {args: of("array[(295::bigint << 24) + 150]", "'{50}'", "'{f}'", "1000")},
	"LoadWaiters":     {args: of("'{1,1}'", "'{1,3}'", "'{a,b}'", "'{8,64}'", "'{1}'", "64")},
	"AuditTreeHolds":  {args: of(trees, "1000")},
	"LinesAfter":      {args: of("1", "1", "'a'", "256")},
	"AuditTreePlaces": {args: of(trees, "1000")},
	"InsertTrees": {args: of("'{30001,30002}'", "'{1,2}'", "'{x1,x2}'", "'{n,n}'", "'{u3,new}'", "'{0,0}'", "'{1,1}'", "'{1,1}'", "'{1,1}'", "'{0,0}'", "'{1,1}'",
		"array_fill(gen_random_uuid(), array[2])", `'{"1","1"}'`, "'{1,0}'", "'{1,1}'")},

	// transitions
	"LockTasks":              {args: of(keys(295, 0, 500), "'{}'", "'{295}'")},
	"LockTasksAndDependents": {args: of(keys(295, 0, 500), keys(295, 0, 10), "'{295}'", keys(294, 0, 10))},
	"IdentifyTrees":          {args: "'{291,292,293,294,295}'"},
	"DependentsOf":           {args: keys(295, 0, 500)},
	"DependentsAfter":        {args: "(300::bigint << 24) + 5, (300::bigint << 24) + 400, 100"},
	"ApplyRows":              {args: of(keys(295, 0, 100), fill("4::smallint", 100), fill("1", 100), fill("6::smallint", 100), fill("1", 100), fill("0", 100), fill("0", 100), fill("0", 100), fill("1::bigint", 100), fill("now()", 100), fill("0::bigint", 100), "100")},
	"ApplyOptimistic": {args: of(keys(295, 1, 99), fill("(1::bigint << 34) + (1::bigint << 32) + 9", 99), fill("4::smallint", 99), fill("0", 99), fill("1::bigint", 99),
		fill("6::smallint", 99), fill("0", 99), fill("0::bigint", 99), fill("'{}'::text", 99), "99", fill("0", 99), "null")},
	"AttemptValues":           {args: of(keys(200, 0, 500), fill("1", 500))},
	"SetAttemptValues":        {args: "(200::bigint << 24) + 5, 1, '{}', 'e', null, null, null"},
	"ChunksOf":                {args: "(100::bigint << 24) + 5, 1"},
	"RequireTrees":            {args: "'{294,295}', array[null,null]::timestamptz[], array[null,null]::timestamptz[], '{1,0}', '{0,0}'"},
	"RequireVacantLanes":      {args: "'{2,3}', '{1,1}'"},
	"FinishCancelledAttempts": {args: of(keys(200, 0, 500), fill("1", 500), fill("'{}'::text", 500), "now()", fill("true", 500))},
	"AssembleChunks":          {args: of(keys(100, 0, 20), fill("1", 20))},
	"DeleteChunks":            {args: of(keys(100, 0, 20), fill("1", 20))},
	"InsertTimers":            {args: of(keys(295, 0, 100), fill("2", 100), fill("3::smallint", 100), fill("1000::double precision", 100), fill("null::timestamptz", 100), "now()")},
	// waits
	"InsertAwaits":        {args: of(keys(295, 0, 100), fill("1", 100), fill("1::smallint", 100), fill("'go'::text", 100), fill("false", 100), fill("'{}'::text", 100), fill("null::bytea", 100), "now()", fill("0::double precision", 100), fill("null::timestamptz", 100))},
	"ExpectSignals":       {args: of(keys(295, 0, 100), fill("'go'::text", 100))},
	"DeleteAwaits":        {args: keys(295, 0, 500)},
	"AwaitsOf":            {args: of(keys(295, 0, 500), "1000000")},
	"ApprovalsDown":       {args: "9223372036854775807, 0, 100, 20000, null, 0"},
	"ApprovalsBelow":      {args: "9223372036854775807, 0, 20000"},
	"AwaitingOf":          {args: of(keys(295, 0, 100), "100")},
	"SignalsOf":           {args: "(295::bigint << 24) + 5, 'go'"},
	"FirstOfRun":          {args: "(295::bigint << 24) + 5"},
	"AnsweredBy":          {args: "(295::bigint << 24) + 5, 1"},
	"CountKept":           {args: "(295::bigint << 24) + 5, 100"},
	"InsertSignal":        {args: "(295::bigint << 24) + 5, 'go', 'k', 's', true, '{}', null, now(), 0"},
	"AnswersTo":           {args: of("array[(295::bigint << 24) + 100, (296::bigint << 24) + 100]", "'{10,10}'", "'{2,2}'")},
	"KeptSignals":         {args: "100"},
	"TakeSignalFollowups": {args: keys(295, 0, 100)},
	"LockedWaits":         {args: of(keys(295, 0, 100), fill("1", 100), fill("1::bigint", 100))},
	"TakeSignals":         {args: of(keys(295, 0, 100), fill("1::bigint", 100), fill("1", 100))},
	"DropSignals":         {args: of(keys(295, 0, 100), fill("1::bigint", 100))},
	"DeleteSignals":       {args: keys(295, 0, 500)},
	"Incomplete":          {args: of(keys(100, 0, 20), fill("1", 20))},
	"InsertFollowups":     {args: of(fill("3::smallint", 100), keys(295, 0, 100))},
	"ApplyTreesBeside":    {args: of("'{294,295}'", "'{1,1}'", "'{0,0}'")},
	"ApplyRepeats":        {args: of(keys(295, 100, 50), fill("1", 50), fill("1", 50))},
	"LockTrees":           {args: "'{291,292,293,294,295}'"},
	"ApplyTrees":          {args: of("'{294,295}'", "'{0,0}'", "'{-1,-1}'", "'{0,0}'", "'{1,1}'", "'{0,0}'", "'{0,0}'", "'{0,0}'", "'{1,1}'", "'{1,1}'", "'{t,t}'", `array['\x01','\x01']::bytea[]`)},
	"PlaceStretches":      {args: of("'{1,4}'", "'{1,1}'", "array[(295::bigint << 24) + 300, (295::bigint << 24) + 400]", "'{10,10}'", "'{1,1}'", "'{t,t}'", "'{f,t}'")},
	// the audit record
	"RecordHead":               {rows: 10},
	"LastToTrim":               {args: "now() - interval '1 day', 1000"},
	"TrimRecord":               {args: "100"},
	"RecordEntries":            {args: "15000, 1000"},
	"RecordEntriesOf":          {args: "15000, 1000, 'n1'"},
	"RecordNumbers":            {args: "15000, 500"},
	"RecordNumbersOfTask":      {args: "15000, 500, 't1'"},
	"RecordNumbersOfCaller":    {args: "15000, 500, 'u1'"},
	"RecordNumbersOfNamespace": {args: "15000, 500, 'n1'"},
	"RecordCalls":              {args: "array[15001, 15003, 15005, 15007, 15009, 16001, 16003]::bigint[]"},
	"RecordNumberAt":           {args: "now() - interval '1 day'"},
	"TasksToJudge":             {args: keys(295, 0, 500)},
	// edits
	"TreeToEdit":          {args: "295"},
	"TaskToEdit":          {args: "(295::bigint << 24) + 5"},
	"AddressesOf":         {args: keys(295, 0, 500)},
	"FindReferences":      {args: of(aTree, "'{a,b}'")},
	"DependentsOfTask":    {args: "(300::bigint << 24) + 5, 1000"},
	"ExecutingDependents": {args: "(295::bigint << 24) + 5, 100"},
	"CountEdges":          {args: aTree},
	"EditRows":            {args: of(keys(295, 0, 100), fill("4::smallint", 100), fill("1", 100), fill("1", 100), fill("1::smallint", 100), fill("1", 100), "100")},
	"EditSpec":            {args: "(295::bigint << 24) + 5, 'n', 'e', '{5}', null, null"},
	"KeepSentPayload":     {args: "(295::bigint << 24) + 5, 1"},
	"DeleteEdgesOf":       {args: of("(300::bigint << 24) + 8", keys(300, 5, 1))},
	"HasEdges":            {args: of(keys(295, 0, 500), "1001")},
	"EnsureAttempt":       {args: "(200::bigint << 24) + 5"},
	"EditAttempt":         {args: "(200::bigint << 24) + 5, 1, '{}', 'e', now(), now()"},
	"EditRunning":         {args: "(295::bigint << 24) + 5, 1, now()"},
	"EditProgress":        {args: "(295::bigint << 24) + 5, 0.5"},
	"EditTree":            {args: "295, 1, true, 1, 1, 'n', '{1}', 1"},
	"TreeUnstarted":       {args: "295"},
	"LockTree":            {args: aTree},
	"DeleteEdgePairs":     {args: of(keys(295, 0, 100), keys(295, 1, 100))},
	"DeleteEdgesFrom":     {args: keys(295, 0, 500)},
	"RewireSpec":          {args: "(295::bigint << 24) + 5, '{5}', null, null"},
	"SpecsToRewire":       {args: keys(295, 0, 500)},
	"LabelsIn":            {args: of(aTree, "1000")},
	"ReadyExecutors":      {args: "500"},
	// dispatch
	"Dispatch":              {args: "3, 2::smallint, 300, true, '{101,150}', '{30,200}', 100"},
	"WaitingShares":         {args: "3, 2::smallint, -1, 50"},
	"InFlight":              {args: "3", rows: 9000},
	"SweepShares":           {args: "50, 0"},
	"LoadTasks":             {args: of(runs, "3::smallint")},
	"LoadSpecs":             {args: of("array[(295::bigint << 24) + 100, (296::bigint << 24) + 100]", "'{10,10}'")},
	"LoadPayloads":          {args: of("array[(295::bigint << 24) + 100, (296::bigint << 24) + 100]", "'{10,10}'")},
	"CreatedAt":             {args: "'{291,292,293,294,295}'"},
	"EndedBefore":           {args: of(keys(200, 0, 500), fill("2", 500))},
	"WaitingOf":             {args: keys(295, 0, 500)},
	"LoadDependencyResults": {args: of(keys(200, 100, 500), "64")},
	"ExpansionsIn":          {args: aTree},
	"ParentsBeside":         {args: of(aTree, "'{5,6}'", "'{10,20}'", "'{10,10}'")},
	"ExpansionsOf":          {args: keys(295, 0, 100)},
	"RepeatsOf":             {args: keys(295, 100, 100)},
	"LimitsOf":              {args: keys(295, 100, 100)},
	"EditLimits":            {args: "(295::bigint << 24) + 5, '{}'"},
	"CopiedLimits":          {args: of(keys(200, 0, 500), keys(295, 0, 500), "(295::bigint << 24) + 5")},
	"RekeyCopies":           {args: of(keys(295, 100, 100), "array_fill('{}'::text, array[100])")},
	"LoadRepeats":           {args: "(295::bigint << 24) + 5"},
	"LoadControls":          {args: keys(295, 100, 100)},
	"LoadDependencyValues":  {args: "(300::bigint << 24) + 500, '{t5,name}'"},
	"Backlog":               {},
	"StalePublished":        {args: "15, 100", rows: 30_000, whole: []string{"published"}}, // in the order of its key; a row stays some 15 s in it
	"DeletePublished":       {args: "'{1,2,3,4,5}'"},
	"DependenciesOf":        {args: "(300::bigint << 24) + 5"},
	"SweepReferences":       {args: "(200::bigint << 24) + 100, (200::bigint << 24) + 400"},
	"SweepCompleted":        {args: "(200::bigint << 24) + 100, (200::bigint << 24) + 400"},
	"ResultsOf":             {args: of(keys(200, 100, 300), fill("1", 300))},
	"LoadOneWork":           {args: "(295::bigint << 24) + 100, 1"},
	// claims and workers
	"ShareWorkers":       {args: "'{1,2,3}'"},
	"RequireLiveWorkers": {args: "'{1}'"},
	"TaskStates":         {args: keys(295, 0, 500)},
	"HandedOver":         {args: keys(295, 0, 500)},
	"OpenAttempts":       {args: of(aTree, "100")},
	"TreesWithAttempts":  {args: "0, 100", rows: 30_000, whole: []string{"tree"}}, // a walk when a worker was lost
	"PutChunk":           {args: `(295::bigint << 24) + 1, 1, 0, 1, '\x00', false`},
	// submission
	"FindSubmissions": {args: "array['key-77', 'new'], '{0}'"},
	"TakenIDs":        {args: "array['t100-7', 'new'], '{0}'"},
	"TakenIDsOf":      {args: "array['t100-7', 'new'], '{0}', 'amy'"},
	// reads
	"KeyOf":                     {args: "'t100-7', 0"},
	"TaskByID":                  {args: "'t100-7', 0"},
	"SnapshotTasks":             {args: "295, true, " + aTree},
	"SnapshotSome":              {args: "295, true, array[(295::bigint << 24) + 3, (295::bigint << 24) + 700]"},
	"PoolNames":                 {},
	"TasksAt":                   {args: of(keys(295, 0, 100), "1000")},
	"TasksUp":                   {args: of(aTree, "null, null, null, 50, 0, null, null, null, null")},
	"TasksDown":                 {args: "(290::bigint << 24) + 500, 0, null, null, null, null, 50, 0, 20000, null, null, null, 0"},
	"TasksDownInNamespace":      {args: "(21020::bigint << 24) + 500, 0, null, null, null, null, 50, 0, 20000, null, null, null, 7"},
	"RootsDown":                 {args: "250, 0, null, null, null, null, 50, 0, null, null, null, 0, 20000"},
	"RootsDownInNamespace":      {args: "30000, 0, null, null, null, null, 50, 0, null, null, null, 7, 20000"},
	"RootsOf":                   {args: "'{200,150,100}', null, null, null, null, 50, 0, null, null, null, 0"},
	"CopiesDown":                {args: "'t100-7', 300::bigint << 24, 0, false, null, null, null, null, 50, 0, null, null, 0"},
	"TreeBelow":                 {args: "250, 0, 200, 0"},
	"TreeBelowInNamespace":      {args: "30000, 0, 200, 7"},
	"KeysOf":                    {args: "array['t100-7', 'new'], 0"},
	"TasksByKeys":               {args: keys(200, 0, 500)},
	"LabelledTrees":             {args: "20000, '{team,rare}', '{t1,null}', 20, 1000"},
	"TreesByKeys":               {args: "'{200,150,100}', 0"},
	"Children":                  {args: of(aTree, "0, 0::smallint, 0, null, null, null, 50, 0, null, null, null")},
	"LabelsOf":                  {args: keys(200, 0, 500)},
	"RunningAttempts":           {args: keys(200, 0, 500)},
	"OptionsOf":                 {args: keys(200, 0, 500)},
	"OwnerOf":                   {args: "'t100-7', 0"},
	"OwnerOfWebhook":            {args: "'nope', 0"},
	"OwnerOfAgentTask":          {args: "'nope', 0"},
	"TasksFrom":                 {args: "'t100-7', 11, null, 11, 0"}, // with an owner it looks at as many as it may, whosever they are
	"TasksFromInNamespace":      {args: "'n', 11, null, 11, 7"},
	"TasksNamed":                {args: of(aTree, "'nope', 100000, 11")},
	"TreesSince":                {args: "now() - interval '1 hour'"},
	"TaskBelow":                 {args: "(290::bigint << 24) + 500, 0, 1500, 0"},
	"TaskBelowInNamespace":      {args: "(21020::bigint << 24) + 500, 0, 1500, 7"},
	"AskedExecutors":            {args: keys(200, 0, 500)},
	"TreeByKey":                 {args: "200"},
	"TreesDown":                 {args: "20000, null, 50, 0, 1000"},
	"TreesDownInNamespace":      {args: "30000, null, 50, 7, 1000"},
	"OpenTreesDown":             {args: "20000, null, 50, 0"},
	"OpenTreesDownInNamespace":  {args: "30000, null, 50, 7"},
	"CountOpenTrees":            {args: "null, 0"},
	"CountOpenTreesInNamespace": {args: "null, 7"},
	"AttemptsOf":                {args: "(200::bigint << 24) + 7"},
	"EventsAfter":               {args: "300, 10000, 20"},
	"EventDetails":              {args: of(keys(200, 0, 500), fill("1", 500))},
	"Backlogs":                  {rows: 20_000},                                             // for metrics, every few seconds: as its comment says
	"LimitsInUse":               {args: "20000", rows: 60_000},                              // for metrics, likewise
	"PoolDepths":                {rows: 30_000, whole: []string{"ready"}},                   // for operators, every few seconds: runs, not tasks
	"PoolsSent":                 {args: "1000", rows: 30_000, whole: []string{"published"}}, // as StalePublished
	"DemandReady":               {args: "50, 500", rows: 3000},                              // for autoscalers, at most once a second
	"DemandRuled":               {args: "'{1,3}', 20"},
	"DemandSeen":                {args: "1000, 1000", rows: 6000},
	"DemandDue":                 {args: "30, 100"},
	"DemandTrees":               {args: "'{291,292,293,294,295}'"},
	"DemandGraph":               {args: of(keys(295, 0, 100), "6, 2000, 1000")},
	"DemandSlots":               {args: "1000"},
	"SetProgress":               {args: of(keys(295, 0, 100), fill("1", 100), fill("0.5::real", 100))},
	// namespaces
	"NamespaceOfTrees":               {args: "'{200,150,21007}'"},
	"RequireFewOpenTrees":            {args: "0"},
	"RequireFewOpenTreesInNamespace": {args: "7"},
	"TakeStored":                     {args: "200"},
	"GrowBytes":                      {args: "200, 5"},
	"TreesToDelete":                  {args: "7, 100"},
	"DropNamespace":                  {args: "7"},
	"CloseNamespace":                 {args: "7, false"},
	// webhooks
	"InsertWebhooks":   {args: `'{295}', '{x}', '{"{}"}', array[null]::bytea[], '{h:1}', '{x}'`},
	"AttachWebhook":    {args: "295, 'x', 'x', '{}', null, 'h:1'"},
	"TakeWebhooks":     {args: "16, 1, 90, '{h:2}'"},
	"PassOverWebhooks": {args: "1000, 10"},
	"NextWebhook":      {},
	"NudgeWebhooks":    {args: "'{294,295}'"},
	"MoveWebhook":      {args: "295, 1, 1, 7, 0, 0, 10"},
	"EndWebhook":       {args: "295, 1, 1, false, 7, 0"},
	"EndsOf":           {args: "295, 3, 16"},
	// executions and cancellations
	"PlanRows":              {args: aTree},
	"TreeToCopy":            {args: "200"},
	"CopyRows":              {args: aTree},
	"InsertCopiedSpecs":     {args: of(keys(200, 0, 500), keys(400, 0, 500), fill("-1", 500), fill("''::text", 500), "false", "true", "500")},
	"InsertCopiedPayloads":  {args: of(keys(200, 0, 500), keys(400, 0, 500))},
	"InsertCopiedAttempts":  {args: of(keys(200, 0, 500), fill("1", 500), keys(400, 0, 500), "200", "false", "false", "false", "false", "500")},
	"MarkCopied":            {args: keys(200, 0, 500)},
	"InsertCopiedTree":      {args: "200, 30000, 1, 200::bigint << 24, 1, 1, 1, 0, 0, 0, 0, '{1}', true, 1, 0, 0"},
	"StartExecution":        {args: "200, 0, 10, 0, 0, 0, 0, 0, 1, null, false"},
	"TreeToExecute":         {args: "200"},
	"RecordCancellation":    {args: of("200", "200::bigint << 24, 201::bigint << 24")},
	"SkipsThatStay":         {args: of(aTree, "'when_false'", "'dependency_'")},
	"FollowupsOf":           {args: aTree, rows: 3000, whole: []string{"followup"}}, // once an execution; a followup is short-lived
	"RestartRows":           {args: of(keys(200, 0, 500), fill("6::smallint", 500), fill("1", 500), fill("1::smallint", 500), fill("2", 500), fill("1", 500), fill("0::bigint", 500), "500", fill("1", 500))},
	"Relations":             {args: aTree},
	"CancellableAfter":      {args: of(aTree, "100")},
	"CancelTree":            {args: "295, 'stop', 0"},
	"PendingCancellation":   {args: "295"},
	"ExpectCancellations":   {args: trees},
	"DropVoidCancellations": {args: trees},
	// the clock
	"DueTimers":             {args: "100"},
	"NextTimer":             {},
	"TakeFollowups":         {args: "100"},
	"HasFollowups":          {},
	"CountEdgesAround":      {args: of(keys(295, 0, 500), "1000")},
	"DeleteFollowups":       {args: of(fill("1::smallint", 500), followedUp(500))},
	"ToldOf":                {args: of(keys(295, 0, 500), keys(295, 0, 100), fill("6::smallint", 100), "5000")},
	"PendingConditions":     {args: "0, 100, 8000000, 200000"},
	"ConditionDependencies": {args: keys(200, 0, 500)},
	"ValuesOfAttempts":      {args: of(keys(200, 100, 300), fill("1", 300), "1000000")},
	"InputsOfTasks":         {args: of(keys(200, 100, 300), "1000000")},
	"TakeConditions":        {args: keys(295, 0, 50)},
	"DeleteConditions":      {args: keys(295, 0, 50)},
	"DeleteFollowup":        {args: "1::smallint, 16777217"},
	"MoveFollowup":          {args: "1::smallint, 16777217, 5"},
	"FinishedTrees":         {args: "3600, 100"},
	"FinishedTree":          {args: "200, 3600"},
	"DeleteAttempts":        {args: "200::bigint << 24, 201::bigint << 24"},
	"DeleteEdges":           {args: "200::bigint << 24, 201::bigint << 24"},
	"DeletePayloads":        {args: "200::bigint << 24, 201::bigint << 24"},
	"DeleteSpecs":           {args: "200::bigint << 24, 201::bigint << 24"},
	"DeleteTasks":           {args: "200::bigint << 24, 201::bigint << 24"},
	"DeleteTimers":          {args: "200::bigint << 24, 201::bigint << 24"},
	"DeleteTaskChunks":      {args: "200::bigint << 24, 201::bigint << 24"},
	"DeleteEvents":          {args: "200"},
	"DeleteSubmissions":     {args: "200"},
	"DeleteLabels":          {args: "200"},
	"DeleteStrayLabels":     {args: "1000"},
	"DeleteCopied":          {args: "200::bigint << 24, 201::bigint << 24"},
	"DeleteArtifactsOf":     {args: keys(200, 0, 3)},
	"DeleteStrayArtifacts":  {args: "50, 200::bigint << 24"},
	"DeleteArtifacts":       {args: "200::bigint << 24, 201::bigint << 24"},
	"DeleteStrayCopied":     {args: "1000"},
	"KeepTree":              {args: "200"},
	"DeleteTree":            {args: "200"},
	// pools, in the background
	"ReopenNeededPools": {rows: 30_000, whole: []string{"ready", "published"}},      // only if pools are closed
	"ClosePools":        {args: "'{1,2,3}'", rows: 30_000, whole: []string{"tree"}}, // if there are idle pools, once a minute: those that have not ended
	"ForgetPools":       {args: "86400", rows: 30_000, whole: []string{"tree"}},     // if there are closed pools, once an hour
	// usage
	"CheckpointsBefore":      {args: "array[200::bigint << 24], '{500}'"},
	"DropCheckpoints":        {args: keys(200, 0, 500)},
	"SetCheckpoints":         {args: of(keys(295, 0, 100), fill("1", 100), fill("1::bigint", 100), fill("'{}'::text", 100), fill("null::bytea", 100), "1")},
	"SpentBefore":            {args: "array[200::bigint << 24], '{500}', '{2}'"},
	"UsageByAttempt":         {args: "(200::bigint << 24) + 7"},
	"UsageOfKeyRange":        {args: of("200::bigint << 24, 201::bigint << 24", "50")},
	"UsageOfAttempts":        {args: of(keys(200, 0, 500), fill("1", 500))},
	"UsageInTime":            {args: "now() - interval '1 hour', null, 1000000, 'tree', null, 100, null, 0"},
	"UsageInTimeInNamespace": {args: "null, null, 1000000, 'tree', null, 100, null, 7"},
	"UsageOfUser":            {args: "now() - interval '60 hours', null, 1000000, 'day', '2000-01-01', 100, null, 0, 'u7'"},
	"UsageOfKeys":            {args: of("null, null, 1000000, 'model', null, 100, 'm1', 0", "200::bigint << 24, 201::bigint << 24")},
	"DeleteUsage":            {args: "200::bigint << 24, 201::bigint << 24"},
	"DeleteStrayUsage":       {args: "1000"},
	// agents' tasks
	"KeepAgentTask":              {args: `'new', 'c1', 200, 't200-0', '\x00', 99, null`},
	"DropAgentTask":              {args: "'a77', 0"},
	"AgentTask":                  {args: "'a77', 0"},
	"AgentTasksOfTree":           {args: "200"},
	"AgentTasksDown":             {args: "1000000, null, 50, 0"},
	"AgentTasksDownInNamespace":  {args: "1000000, null, 50, 7"},
	"AgentTasksOfContext":        {args: "1000000, null, 50, 0, 'c1'"},
	"CountAgentTasks":            {args: "null, 1500, 0"},
	"CountAgentTasksInNamespace": {args: "null, 2000, 7"},
	"CountAgentTasksOfContext":   {args: "null, 2000, 0, 'c1'"},
	"DeleteAgentTasks":           {args: "200"},
	"DeleteStrayAgentTasks":      {args: "1000"},
	// why
	"KeyedRun":        {args: "(295::bigint << 24) + 300, 1, 1024, 'w', 295"},
	"EndedTrees":      {args: trees},
	"WhyTask":         {args: "'t295-300', 0"},
	"WhyDependencies": {args: "(295::bigint << 24) + 300, 20"},
	"WhyEnded":        {args: "(295::bigint << 24) + 300"},
	"WhyRefused":      {args: "(295::bigint << 24) + 300, 20000"},
	"WhyAhead":        {args: "1, 1::smallint, (295::bigint << 24) + 155, 1, 1000, 1000", rows: 30_000, whole: []string{"published"}}, // as StalePublished
	"WhyFound":        {args: of(aTree, "10")},
	// the auditor
	"AuditOpenTrees":       {args: "0, null, 100"},
	"AuditAllTrees":        {args: "100, 86400, 100"},
	"AuditOneTree":         {args: "200, 86400, 1"},
	"AuditTreeCounts":      {args: of(trees, "100")},
	"AuditTreeRows":        {args: of(trees, "100")},
	"AuditTreeNamespaces":  {args: of(trees, "100")},
	"AuditTreeEdges":       {args: of(trees, "100")},
	"AuditTreeRuns":        {args: of(trees, "100")},
	"AuditTreeBundles":     {args: of(trees, "100")},
	"AuditTreeStretches":   {args: of(trees, "100"), rows: 30_000, whole: []string{"ready", "published"}},
	"AuditTreeStretchRows": {args: of(trees, "100"), rows: 30_000, whole: []string{"ready", "published"}},
	"AuditTaskRows":        {args: of("array[295::bigint << 24]", "array[296::bigint << 24]", "100")},
	"AuditTaskBlocked":     {args: of("array[295::bigint << 24]", "array[296::bigint << 24]", "100")},
	"AuditTaskSubtrees":    {args: of("array[295::bigint << 24]", "array[296::bigint << 24]", "100")},
	"AuditTaskAwaiting":    {args: of("array[295::bigint << 24]", "array[296::bigint << 24]", "100")},
	"AuditTaskExpanded":    {args: of("array[295::bigint << 24]", "array[296::bigint << 24]", "100")},
	"AuditTaskWaiting":     {args: of("array[295::bigint << 24]", "array[296::bigint << 24]", "100")},
	"AuditTaskTimers":      {args: of("array[295::bigint << 24]", "array[296::bigint << 24]", "100")},
	"AuditTreePools":       {args: of("'{290,295}'", "100"), rows: 30_000, whole: []string{"ready", "published"}},
	"AuditTaskTimes":       {args: of("array[295::bigint << 24]", "array[296::bigint << 24]", "100")},
	"AuditTaskStrayTimers": {args: of("array[295::bigint << 24]", "array[296::bigint << 24]", "100")},
	"AuditTaskWorkers":     {args: of("array[295::bigint << 24]", "array[296::bigint << 24]", "60", "100")},
	"AuditTaskAttempts":    {args: of("array[200::bigint << 24]", "array[201::bigint << 24]", "100")},
	"AuditTaskUsage":       {args: of("array[200::bigint << 24]", "array[201::bigint << 24]", "100")},
	"AuditTaskParts":       {args: of("array[200::bigint << 24]", "array[201::bigint << 24]", "100")},
	"AuditTaskEdges":       {args: of("array[200::bigint << 24]", "array[201::bigint << 24]", "100")},
	"AuditTaskArtifacts":   {args: of("array[200::bigint << 24]", "array[201::bigint << 24]", "100")},
	"AuditGaps":            {args: "'{100,101,102}', '{101,102,103}', 100"},
	"AuditEvents":          {args: "'{200,201}'"},
	"AuditAnyTimers":       {args: of(aTree, "3600", "100")},
	"AuditAnyPublished":    {args: of(aTree, "3600", "100"), rows: 30_000, whole: []string{"published"}},
	"AuditFollowups":       {args: "100"},
	"AuditNames":           {args: of("'{200,201}'", keys(200, 0, 2))},
}

// What unexplained ones have in common.
const (
	insertsOnly   = "inserts the rows that it is given"
	fewWorkers    = "reads workers, of which there are few: rows go after a day"
	fewSent       = "reads what was kept for running attempts whose tasks were changed"
	fewNames      = "reads a table of names, or of one row"
	noTable       = "reads no table"
	catalogueOnly = "reads catalogues and counters of Postgres, when an operator asks"
)

// unexplained are the statements without a case, and why.
const aKey = "touches as many API keys as it is given, by a unique index of each"

// Likewise, of webhooks.
const oneWebhook = "touches one webhook, and at most a hundred deliveries of it"

// Likewise, of earlier successes.
const aCacheEntry = "touches as many entries as tasks, each by a key"

// Likewise, of unique trees.
const aUniqueKey = "touches one key, and the tree that has it"

// Likewise, of a content, or of the artifacts of one task.
const aContent = "touches one content, some hundred at most, or what one task made, by a key"

// Likewise, of one expanded task.
const anExpansion = "touches one expansion, one part of it, or its tree, by a key"

// Likewise, of limited tasks.
const fewLimited = "touches the rows of limited tasks that its transaction has locked, or grants, by the index of tasks"

// whenHeld: once, when somebody pauses something, or sets a limit.
const whenHeld = "when somebody pauses something, or sets a limit of a pool or a user"

// aSchedule: for people.
const aSchedule = "for people: one schedule or run, by a unique index"

// whenErasing: once, when what there is of a user is erased.
const whenErasing = "when what there is of a user is erased: its trees, by the index of users, one tree by its key, or the schedules of a namespace, which are bounded"

var unexplained = map[string]string{
	"InsertSchedule": insertsOnly + ", and counts the schedules of a namespace, which are bounded", "Schedules": "for people: a page of them", "LockSchedule": aSchedule, "UpdateSchedule": aSchedule,
	"DeleteSchedule": aSchedule + ", and all that is known of its runs", "InsertFires": insertsOnly, "InsertBackfill": insertsOnly, "GiveFireParameters": aSchedule, "FireOf": aSchedule, "TriggersOf": aSchedule, "LockTriggers": "no table", "LeadsTo": aSchedule + ", and those that its runs begin with", "ScheduleKey": aSchedule, "CalledSchedule": aSchedule, "LockCalled": aSchedule, "WakeSchedule": aSchedule, "SecretsOfSchedule": aSchedule, "RenewSecrets": aSchedule, "OwnerOfSchedule": aSchedule,
	"AuditSchedules": "the auditor's: by the indexes of what is due, and of runs that are open",
	"OpenBackfills":  "by an index of backfills that have not ended, which people ask for", "MoveBackfills": "as OpenBackfills",
	"InsertHolds": insertsOnly, "PublishGranted": insertsOnly, "SetRates": insertsOnly + ", or changes it by its key",
	"ReleaseWaiters": fewLimited, "ReleaseHolds": fewLimited, "ReleasePlaces": fewLimited, "KeepHolds": fewLimited, "LocksAbove": fewLimited, "StartTimeLimits": "of tasks below groups with a timeout: by the primary keys of what is above them, as each gets ready", "UnfinishedBelow": "once for each group whose time is up: reads its tree", "ReleaseSpans": fewLimited, "DropHolds": fewLimited, "LeaveLines": fewLimited, "GrantWaiters": fewLimited, "LocksOf": fewLimited, "WhyLines": "for people: 10000 waiters at most of each line of one task", "WhyHolders": "for people: the holds of one key",
	"ClosedLimits": "for people: what operators have set", "WhyRules": "for people: what operators have set, and 100000 holds of each of two at most",
	"SweepRates": "every five seconds, the whole of a table of rates that were used of late", "AuditHolds": "the auditor's: reads all that is held, which is bounded by slots",
	"UnclaimedGrants": "reads 20000 rows at most of what is held", "GrantedAndIdle": "every five seconds, a thousand tasks that hold something, by the primary key", "LastHold": "as GrantedAndIdle",
	"ExpandingTask": anExpansion, "ReserveKeys": anExpansion, "ForgetExpansion": anExpansion, "InsertExpansion": insertsOnly, "CopyExpansionParts": insertsOnly, "ReadExpansion": anExpansion,
	"ExpansionPart": anExpansion, "GrowTree": anExpansion, "MoveExpansion": anExpansion,
	"ResumeExpansions": anExpansion, "PartsOf": anExpansion, "ShrinkTree": anExpansion, "WhyExpansion": anExpansion, "RequireRoom": fewNames, "AddFound": fewNames,
	"DoctorServer": noTable, "Clock": noTable, "DoctorSettings": noTable, "DoctorSessions": catalogueOnly, "DoctorSizes": catalogueOnly, "DoctorLog": noTable, "DoctorTables": catalogueOnly,
	"DoctorTransactions": catalogueOnly, "DoctorPrepared": catalogueOnly, "DoctorSlots": catalogueOnly, "DoctorStandbys": catalogueOnly, "DoctorSchema": catalogueOnly,
	"DoctorMigrations": fewNames, "DoctorSchedules": "reads the schedules and their open runs, and of each the last run by an index, when an operator asks", "DoctorWebhooks": "reads the webhooks of namespaces, which are few, when an operator asks",
	"InsertAttempts": insertsOnly, "InsertLargeAttempt": insertsOnly, "InsertPublished": insertsOnly, "InsertLabels": insertsOnly, "InsertFirstEvents": insertsOnly, "ImportTasks": "writes the rows that its transaction has inserted, by key",
	"AppendRecord": insertsOnly, "LockRecord": "an advisory lock", "LogWritten": "no table",
	"InsertSubmissions": insertsOnly, "BringCheckpoints": insertsOnly, "InsertUsage": insertsOnly + ", and looks up the tree of each", "CheckWrite": insertsOnly,
	"InsertNamespace": insertsOnly, "CountNamespaces": fewNames, "NamespaceByName": fewNames, "NamespacesByKeys": fewNames, "NamespacesAfter": fewNames, "KeepNamespaces": fewNames, "AddStored": fewNames, "LockNamespace": fewNames, "UpdateNamespace": fewNames, "CorrectStored": fewNames, "CountedNamespaces": fewNames,
	"NamespaceTurn": noTable, "ClosedNamespaces": fewNames,
	"CountStored": "reads the rows of all trees of default, when it gets its first quota, and then every ten minutes", "CountStoredInNamespace": "as CountStored, of one namespace",
	"CopyTasks": insertsOnly, "CopySpecs": insertsOnly, "CopySpecsInNamespace": insertsOnly, "CopyLimitedSpecs": insertsOnly, "CopyPayloads": insertsOnly, "CopyEdges": insertsOnly, "CopyCopiedTasks": insertsOnly,
	"ExtendLeases": fewWorkers, "EndWorkers": fewWorkers, "DepartedWorkers": fewWorkers, "WorkersDone": fewWorkers, "LiveWorkers": fewWorkers,
	"ListWorkers": fewWorkers, "DeleteWorkers": fewWorkers, "Instances": fewWorkers, "WhyWorkers": fewWorkers, "AuditWorkers": fewWorkers,
	"AnnounceCoordinator": fewWorkers, "LeaveCoordinator": fewWorkers, "LiveCoordinators": fewWorkers, "ForgetCoordinators": fewWorkers, "CheckLevel": fewWorkers, "AuditLevels": fewWorkers,
	"CheckEditLevel": fewWorkers, "LockEditLevel": fewNames, "UseEditLevel": fewNames, "UsedLevel": fewNames, "LockLevel": fewNames, "UseLevel": fewNames, "AdoptLevel": fewNames,
	"CurrentDataKey": fewNames, "NumberedDataKey": fewNames, "DataKeys": fewNames, "RetireDataKey": fewNames, "AddDataKey": fewNames, "RewrapDataKey": fewNames, "SealingState": fewNames, "NamespaceOfTree": "reads one tree by its key", "SetSealing": fewNames,
	"SealWork": fewNames, "WriterMark": "no table", "WritersEnded": "no table", "BeginSealRound": fewNames, "SealTables": fewNames, "DropDataKeys": fewNames,
	"LockSealWalk": "an advisory lock", "SealWalk": fewNames, "RetiredDataKeys": fewNames, "SealWalked": fewNames,
	"RequireUnstarted": "reads one tree by its key",
	"InsertSubtree":    "writes rows by the keys of what its transaction has locked or inserted",
	"DeleteTheseTasks": "deletes what it is told to, by a probe of each table for each task",
	"ReplacePayload":   insertsOnly + ", or changes it by its key",
	"EditPayload":      insertsOnly + ", or changes it by its key", "InsertEdges": insertsOnly,
	"DeleteBeyond": "deletes ranges of tables of which few trees have rows", "DeleteStrayBeyond": "looks at tables of which few trees have rows, now and then",
	"DeleteSentPayloads": fewSent, "DeleteOldSentPayloads": fewSent,
	"FirstTokenSecret": fewNames, "TokenSecrets": fewNames, "AddTokenSecret": fewNames, "ForgetTokenSecrets": fewNames,
	"RetireTokenSecrets": fewWorkers + ", and probes the task of each attempt that they list",
	"SetModelKey":        insertsOnly, "DeleteModelKeys": fewNames, "ModelKeysMark": fewNames, "ModelKeys": fewNames, "ResealModelKey": fewNames,
	"PoolRules": fewNames, "SetPoolRule": fewNames, "DeletePoolRule": fewNames,
	"FindCached": aCacheEntry, "StillCached": aCacheEntry, "LockRevisions": "locks as many trees as it is given, each by its key", "CachedFrom": aCacheEntry, "ForgetCaching": aCacheEntry, "InsertCaching": insertsOnly + ", or changes it by its key", "InsertCached": insertsOnly, "FillCache": aCacheEntry,
	"ForgetCachedAround": "by the keys of a task and of what depends on it, when somebody edits one that may be cached", "SweepCache": "once a minute, the first rows of an index, and those of one user", "LoadJudgedWork": "as LoadOneWork",
	"LockUniqueKey": aUniqueKey, "HasUniqueKey": aUniqueKey, "TakeUniqueKey": aUniqueKey,
	"LockGrants": noTable, "NamePool": fewNames, "NameShare": fewNames, "LimitRule": fewNames, "LimitRulesOf": "a probe for each of at most 1000 keys", "SetLimitRule": fewNames, "DeleteLimitRule": fewNames, "SetShareWeight": fewNames,
	"LimitRules": "for people: a page of them", "Locks": "for people: a page of them, by the index of keys", "BreakHold": "by the primary key of one task's holds", "PauseTree": "changes one tree by its key", "ResumeTree": "changes one tree by its key",
	"LockHandovers": noTable, "LockWaiting": fewNames, "RequireFewWaiting": "reads the open trees of a user, by an index, while an operator bounds what waits of it", "LockStarts": noTable, "Gates": fewNames, "SettlePause": fewNames, "UnsettledPauses": fewNames, "PausesOf": fewNames, "UncountedRules": fewNames, "RuleCounted": fewNames,
	"ParkTree": whenHeld, "UnparkTree": whenHeld, "PublishedOf": whenHeld, "ShareTrees": whenHeld, "TreesRunning": whenHeld, "CountRunning": whenHeld, "TreeSpan": "reads one tree by its key",
	"MoveStartTimers": "by the index of tasks' timers, when something is paused", "HeldRoom": "what a pool holds, by the index of keys", "DispatchHeld": "as Dispatch, and a row for each task that it takes",
	"InsertErasure": whenErasing, "LockErasures": noTable, "EraseSchedules": whenErasing, "CountKeptErased": fewNames, "EraseFlows": whenErasing, "ErasureByID": fewNames, "Erasures": "for people: a page of them", "OpenErasures": fewNames, "CountErasable": whenErasing, "TreesToErase": whenErasing,
	"WritersEndedSince": fewNames, "ErasableTree": "reads one tree by its key", "EraseFurther": "changes one tree by its key", "CountTasksErased": whenErasing, "CountTreeErased": whenErasing, "EraseUser": whenErasing,
	"MarkErasure": fewNames, "ErasedAmong": "a probe for each tree that is asked about", "CountMessagesErased": fewNames, "CountArchivedErased": fewNames, "ErasureToContents": whenErasing, "ContentsDue": "looks for one row, by the index of what is due",
	"FinishErasure": whenErasing, "ForgetErasedTrees": fewNames, "StuckErasures": fewNames,
	"InsertKeeping": insertsOnly, "KeepingOf": "reads one tree by its key", "HoldTree": "changes one tree by its key", "ReleaseTree": "changes one tree by its key", "BeginDeletion": "changes one tree by its key",
	"Holds": "for people: a page of them", "HeldIn": "looks for one row, by an index of held trees", "HeldLonger": "for people: at most 1000 held trees", "DueKeeping": "reads a page of what is due, by its index", "LookLater": "changes rows by the keys that DueKeeping gave",
	"ClaimArchive": "changes one tree by its key", "KeepClaim": "changes one tree by its key", "VersionOfTree": "reads one tree by its key", "UnchangedTree": "reads one tree by its key",
	"AttemptsIn": whenArchived, "UsageIn": whenArchived, "FilesIn": whenArchived, "ArchiveLate": "for people: at most 1000 trees of each index",
	"DeleteStrayKeeping": "the first rows of a table of which few trees have one",
	"TouchBundleBlob":    fewNames, "BundleBytes": "when a file of a bundle is put: sums up an index", "OpenBundleContent": insertsOnly, "PutBundleBlob": insertsOnly, "SpareBundleContent": fewNames, "LockBundles": noTable,
	"CountBundles": fewNames, "HoldBundleBlobs": "when a bundle is put: as many contents as it has files, by an index", "ApplyBundle": fewNames, "InsertBundleFiles": insertsOnly, "HoldBundle": fewNames, "BundleByKey": fewNames,
	"BundlesBehind": "for people: a page of them", "OwnerOfBundle": fewNames, "FlowsOfBundle": fewNames, "DeleteBundle": fewNames, "EraseBundles": whenErasing, "BundleFile": fewNames, "BundleFileOfTree": fewNames,
	"ForgetBundles": "now and then: versions of bundles are few beside runs", "ForgetBundleBlobs": "now and then: contents of bundles are few beside runs",
	"FindFlowText": fewNames, "PutFlowText": fewNames, "FlowText": fewNames, "ForgetFlowTexts": "now and then: texts are few beside runs", "LockFlows": noTable, "LastFlow": fewNames, "CountFlows": fewNames, "InsertFlow": fewNames,
	"FlowVersions": fewNames, "FlowsToRun": "reads as many flows as it is given, each by its name", "FlowsBehind": "for people: a page of them", "OwnerOfFlow": fewNames, "DeleteFlow": fewNames, "HoldRevisions": "locks as many trees as it is given, each by its key", "InsertFlowRuns": insertsOnly,
	"LastProfiles": fewNames, "CountProfiles": fewNames, "InsertProfiles": insertsOnly, "ProfileNamed": fewNames, "ProfilesBehind": "for people: a page of them", "ProfilesToRun": fewNames, "OwnerOfProfile": fewNames,
	"DeleteProfile": fewNames, "EraseProfiles": whenErasing,
	"FlowRunsNamed": "the revisions of one run, by an index", "FlowRunsDown": "for people: a page of them", "OwnerOfRun": "the revisions of one run, by an index",
	"SetPause": fewNames, "Pause": fewNames, "DeletePause": fewNames, "Pauses": "for people: a page of them", "AllPauses": fewNames,
	"ClusterSecret": fewNames, "PoolRows": fewNames, "CountPools": fewNames, "OpenPools": fewNames, "KeepPools": fewNames, "MarkServed": fewNames, "LockIdlePools": fewNames, "GonePools": fewNames,
	"AddExecutors": fewNames, "ForgetExecutors": fewNames, "ExecutorIDs": fewNames,
	"SeeDescriptions": fewNames, "AddDescriptions": fewNames, "ForgetDescriptions": fewNames, "Descriptions": fewNames, "DescriptionBodies": fewNames,
	"DescribingWorkers": fewWorkers, "LockPools": noTable,
	"InsertWebhook": insertsOnly, "InsertDeliveries": insertsOnly, "OpenBefore": noTable, "TrimDeliveries": oneWebhook, "WebhookSucceeded": oneWebhook, "WebhookFailed": oneWebhook,
	"DisableWebhook": oneWebhook, "DeleteTreeWebhooks": oneWebhook, "UpdateWebhook": oneWebhook, "DeleteWebhook": oneWebhook, "DeliveriesOf": oneWebhook, "DeliveryByKey": oneWebhook,
	"Webhooks": "for people: a page of them", "DeleteStrayWebhooks": "once a minute, the first rows only", "AuditWebhooks": "by the index of what is due",
	"TakeBindings": fewNames, "BindingsVersion": fewNames, "AllBindings": "reads the whole of a table that is bounded, when it has changed", "Bindings": "for people: a page of them",
	"GrantRole": "for people: one binding, by a unique index", "RevokeRole": "for people: one binding, by a unique index",
	"InsertAPIKey": aKey, "RevokeAPIKey": aKey, "RotateAPIKey": aKey, "EndSession": aKey, "EndOldSessions": aKey, "UseAPIKeys": aKey, "APIKeysByHash": aKey, "APIKeys": "for people: a page of them",
	"DeleteOldAPIKeys":   "once a minute, the first rows of an index only",
	"MissingRights":      "reads the catalogue, once at the start",
	"PreflightProcesses": fewWorkers, "PreflightSessions": noTable, "PreflightReplicas": noTable, "PreflightPools": "for people, before an upgrade", "PreflightWalk": "for people, before an upgrade", "PreflightSizes": noTable,
	"ServerEpoch": fewNames, "BeginEpoch": fewNames, "RestartEpoch": fewNames,
	"NextTrees": noTable, "LockExecution": noTable, "LockCopied": noTable, "AuditTurn": noTable,
	"DescribeTrees": "once for each tree that an older coordinator stored, over all of its tasks",
	"OpenContent":   "sums up what one owner has, by an index, once for each file of a task", "ArtifactUsage": "as OpenContent", "AddLogs": "as OpenContent, for each owner of some hundred logs",
	"LockArtifactsOwner": aContent, "StoredContents": "some contents, by the primary key", "ArtifactStoreRows": "for people: it stops at the first row", "ContentByID": aContent, "LockContent": aContent, "SameContent": aContent, "ContentStored": aContent, "ContentSpare": aContent, "AddArtifact": insertsOnly, "ForgetContents": aContent,
	"ArtifactsOf": aContent, "ArtifactsIn": "for people: a page of them", "FindArtifact": "by an index, of which it reads a thousand rows at most, and a look-up for each revision of the run", "ArtifactData": aContent,
	"NewestManifest": "by an index, of which it reads what the steps of one job have left, in each revision of the run", "TreeEnds": "some look-ups by keys, of at most a hundred trees",
	"ContentsToLook": "by the index of what is due", "JudgeContents": aContent,
	"DeleteOldChunks": "once in a long while, over parts of results that are being sent or were given up",
}
