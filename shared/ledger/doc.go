// Package ledger is the one door to Tablestore and the home of jobs: all that is known of a job is in its row, and whatever happens to a job
// is one conditional write of that row. It lists jobs and dead letters, newest first, and what is due to be sent.
//
// # Layout
//
// Two tables, each with two string keys: p, the partition, and s, the order within it. The table of jobs has these rows:
//
//	p                                s                                      columns
//	job/<2 hex>/<id>                 job                                    job, request, more (JSON), seq (integer)
//	<by>/any/<value>                 <accepted>/<id>                        id, write
//	all/<state>/                     <accepted>/<id>/<round>                id, write
//	dead/<by>/<value>                <died>/<id>/<round>                    id, write, dead (JSON)
//	due                              <due>/<id>/<dues>                      id, write
//	callback/failed                  <accepted>/<id>/<dues>                 id, write
//
// The first is the job's row: what lists show, the request, what lists do not show, and the number of its writes. The hex digits are from a
// hash of the id and spread jobs over the service's partitions. All others are index rows, which hold no truth. Jobs are listed by all, name,
// record and caller, and by state; dead letters by all, code, name, record, site and caller, with what other filters and counts look at in
// dead. Other combinations are looked for in the shortest of these lists. Times are written so that their texts sort. dues counts how often
// something was made due. A queued job has six rows; one that is dead and whose callback is due has thirteen.
//
// The table of state does not expire. It has one row for each task of the janitor, p "janitor", s the task: where it left off; and the account's
// row, p and s "account": whether its lane is parked or paused, for how long it was stopped in all, and its quota. Its columns are mark (JSON)
// and seq.
//
// # Order of writes
//
// A new job is one BatchWriteRow: the row on condition that there is none, and its index rows. The service writes rows one by one, so what
// was not confirmed is put again before Create answers, and whoever finds a job that nobody has written since puts its index rows again: its
// creator may have been killed. Nobody sends a job before that.
//
// A change is
//
//  1. BatchGetRow of the row, unless the caller has it.
//  2. BatchWriteRow of the index rows that the job will have and has not yet.
//  3. BatchWriteRow of the row, whole, on condition that seq is what was read. Otherwise all begins anew, or the caller is told.
//  4. Tidy, some time later: the index rows that the job no longer has are deleted.
//
// After a crash behind 2 there are index rows for something that did not happen, behind 3 some of what is over. Readers do not mind: an index
// row counts only if the row, read after it, would give it exactly that key. So every job is listed once, under its true state, at every
// moment; since 2 comes before 3 no list misses one.
//
// Each row carries the token of its latest write. A writer whose answer was lost reads the row and looks for its own token.
//
// # Deleting index rows
//
// A process deletes what its own changes left behind. The lists that the janitor reads from their old end (due, queued, dead) would fill up
// with what killed processes left, so these sweep: what does not count is deleted too. Two rules keep that from hurting a row that counts,
// or is about to:
//
//   - No key is used for two facts, by its times, rounds and dues. Only those with "any" can be left by one correction and taken up by
//     another: they are never deleted. A sweep deletes only if the token of the index row is still the one it read.
//   - A sweep leaves index rows alone that were put less than a minute ago: their writer may be between 2 and 3, which takes seconds at most.
//
// # Cost
//
// Calls, and capacity units as read and write, of the life of a job that takes less than 4 KB. A conditional write reads as well.
//
//	accept                             BatchWriteRow                                      1 R  6 W
//	begin, hand over                   BatchWriteRow                                      1 R  1 W
//	succeed                            2 BatchWriteRow                                    1 R  2 W
//	die                                2 BatchWriteRow                                    1 R  8 W
//	redrive                            BatchGetRow, 2 BatchWriteRow                       2 R  7 W
//	tidy after success                 BatchWriteRow                                           1 W
//	page of 50                         GetRange, BatchGetRow
//	count of dead letters              GetRange for each 5,000, or 4 MB
//
// A change takes one call more, a read, if the caller does not have the row. ChangeAll and Create put many jobs into one call. No call takes
// longer because there are more jobs.
//
// A service that does not answer costs two time limits, however many jobs are asked for: one for the call, and one to find out what became
// of it.
//
// # Retention
//
// Tablestore forgets each cell by itself, a time to live after it was written. A row is always written whole, so its cells go together, that
// time after its last change. Index rows are put when they are first needed, all of them again in a new round, and all of them again by any
// change that comes more than a day later: so they go at most a day before their row.
package ledger
