// Package ledger is the one door to Tablestore and remembers what happened to each job: entries are appended, and folded into
// a routine.Job. It answers for one job and lists jobs by state, name, record name and caller, newest first.
//
// The ledger is evidence, not a lock. The queue carries everything a job needs, so a ledger that is down loses history and
// nothing else; a ledger that missed a job's beginning begins with the first entry it gets and says so (Job.Gap).
//
// # Layout
//
// One table of two string keys, p (the partition) and s (the order within it), holds two sorts of rows:
//
//	p                        s                 columns
//	job/<2 hex>/<id>         job               job (JSON), seq (integer), e000000, e000001, ... (JSON, one per entry)
//	<by>/<state>/<value>     <accepted>/<id>   id
//
// The first is the job's row: the entries as they came and the job they fold into. The hex digits, taken from a hash of the
// id, spread jobs over the table's partitions, since ids that begin with the time would all go to its end. The others are
// index rows: by is all, name, record or caller, state is any or one of the states, and accepted is the time of acceptance
// in a form that sorts. Where a state is named, the key ends in "/" and the number of redrives, so that a key of a state
// that was left is never used again. A job has eight index rows and a ninth only while its state is changing.
//
// Reading a job is one GetRow; a page of 50 is one GetRange over neighbouring keys and one BatchGetRow. Neither depends
// on how many jobs there are. The rows of the list of all jobs share one partition key, whose limit of writes lies far above
// what one account's ESA lane can work off.
//
// # Writing
//
// An entry is appended in this order:
//
//  1. GetRow reads the job's row, unless it is remembered (see below). The entry is folded in (see Fold), without effect if
//     the row has it already.
//  2. If the state changes, BatchWriteRow puts the eight index rows of the job as it will be.
//  3. UpdateRow adds the entry's column and replaces job and seq, on condition that seq is what was read; a new row is put
//     on condition that there is none. If another writer came first, all begins again at 1.
//  4. If the state changed, the index rows of the state that was left are deleted: along with step 2 of the next change of
//     whatever job, where it costs no call, if another change was less than a minute ago, and else at once.
//
// Step 3 is the only one that matters: a single conditional write of a single row, so entry and job can never disagree, a
// finished job cannot be overwritten, and a late worker's entry is kept as history (Entry.Late) without changing the job.
// A crash after step 2 leaves index rows for something that did not happen, a crash after step 3 index rows of a state that
// was left, as does a process that ends between two changes. Both are found out when a list is read: an index row counts
// only if the job's row, read at that moment, would give it exactly that key. So at every moment each job is listed once,
// under its true state, and an index row that does not count is dead weight until its time to live ends. Step 2 before step
// 3 means that there is no job that lists miss.
//
// A claim reads the row, puts the index rows and puts the row on condition that there is none; ClaimAll does each of these
// for many jobs at a time.
//
// # Memory
//
// A worker's entries of one job follow each other. So the ledger remembers the last 64 rows that it wrote of jobs that go on,
// for an hour, and appends to a row as it is remembered without reading it. Nothing rests on that: if another writer was
// there, the condition of step 3 fails and the row is read. An entry that seems late or known is judged only by a row that
// was read, and Job, History, Jobs and claims always ask the table.
//
// # Cost
//
// The calls that each entry takes if the row is not remembered and if it is, while nobody else writes the job:
//
//	claim          BatchGetRow, 2 BatchWriteRow
//	queued         BatchWriteRow, GetRow, PutRow
//	started        GetRow, UpdateRow                 UpdateRow
//	failed         GetRow, UpdateRow                 UpdateRow
//	handed-back    GetRow, UpdateRow                 UpdateRow
//	succeeded      BatchWriteRow, GetRow, UpdateRow  BatchWriteRow, UpdateRow
//	dead-lettered  BatchWriteRow, GetRow, UpdateRow  BatchWriteRow, UpdateRow
//	cancelled      BatchWriteRow, GetRow, UpdateRow  BatchWriteRow, UpdateRow
//	redriven       BatchWriteRow, GetRow, UpdateRow
//
// The last four take one BatchWriteRow more if no other change was less than a minute ago. An entry that is late is read and
// written; one that is known, and the claim of a job that exists, are one read. ClaimAll takes 11 calls for 200 new jobs.
//
// # Retention
//
// Tablestore forgets each column by itself, a time to live after it was written. Step 3 writes job and seq anew each time,
// and step 2 the index rows at each change of state, so a job is found whole until its retention has passed since its last
// change; entries older than the retention go one by one. A job that stays in one state for longer than the retention while
// entries still come leaves the lists early; a worker gives jobs up long before.
package ledger
