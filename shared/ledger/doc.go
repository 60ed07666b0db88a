// Package ledger is the one door to Tablestore and the home of jobs: all that is known of a job is in its row, and whatever happens to a job
// is one conditional write of that row. It lists jobs and dead letters, newest first, and what is due to be sent. It is the home of claims too:
// what is known of each routine and of each host name that is bound to one.
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
// dead. A list by several values reads the shortest of these. Times are written so that their texts sort. dues counts how often something was
// made due. A queued job has six rows; one that is dead and whose callback is due has thirteen.
//
// The table of state does not expire. It has these rows:
//
//	p                                s                                      columns
//	janitor                          <task>                                 mark
//	janitor                          expiry                                 mark (JSON), seq, write
//	account                          account                                mark (JSON), seq, write
//	account                          routines                               mark (JSON), seq, write
//	routine/<2 hex>/<name>           claim                                  mark (JSON), seq, write
//	routine/<2 hex>/<name>           record/<record name>                   mark (JSON), seq, write
//	routines                         <name>                                 id, write
//
// The first says where a task of the janitor left off, the second which jobs it has made about expired routines within an hour. The account's row says
// whether its lane is parked or paused, for how long it was stopped in all, and its quota; the next one which routines ESA showed last,
// and what of their records and routes no claim owns. Then come the claim of a routine, those of its host names, each in a row of its own so that none
// grows with their number, and the index row of each routine whose claim is not gone. A claim that is gone stays for ever.
//
// # Why index rows of our own
//
// A global secondary index is updated some time after the row, without a bound, so a list could miss a job that was just accepted. A local one
// is updated with the row, but keeps all jobs in one partition. A table has five at most, which is fewer than the lists above, and either
// kind bills each write of a row for every index. A search index is seconds late and has a fixed price.
//
// # Order of writes
//
// A new job is one BatchWriteRow: the row on condition that none exists, and its index rows. The service writes rows one by one, so Create
// puts again what was not confirmed before it answers. A Create that finds a job which has not been written since puts its index rows again:
// the process that created it may have been killed. Nobody sends a job before that.
//
// A change is
//
//  1. BatchGetRow of the row, unless the caller has it.
//  2. BatchWriteRow of the index rows that the job will have and has not yet.
//  3. BatchWriteRow of the row, whole, on condition that seq is what was read. Otherwise the change starts again, or the caller is told.
//  4. BatchWriteRow that deletes the index rows which the job no longer has. If it fails, they stay.
//
// Calls 2 and 4 are left out if they have nothing to do.
//
// After a crash between 2 and 3 some index rows are about a change that did not happen, and after one between 3 and 4 some are out of date.
// Readers pass over both: an index row counts only if the row, read after it, would give it exactly that key. So every job is listed once, under
// its true state, at every moment; since 2 comes before 3 no list misses one.
//
// A change of the account, or of a claim, is one conditional write of its row. The claims of a routine and of its host names are written in one call, in
// which each can fail alone: what failed is tried again without the others. A claim that is new, or was gone and is not any more, needs an index row. That of a claim
// that is Creating goes in the same call, and is put again if it is not confirmed: nobody makes the routine before that. After a crash in between a claim
// that is Creating may have no index row, and no routine. So whoever goes on from such a claim puts it again, and before any other claim its index row
// is put in a call of its own.
//
// Each row carries the token of its latest write. A writer whose answer was lost reads the row and looks for its own token.
//
// # Deleting index rows
//
// What a crash leaves does no harm to most lists. But the janitor reads three from their old end (due, queued, dead), and they would fill up. So
// these reads sweep: they also delete the index rows that do not count. What is left in other lists stays until it is forgotten; only
// CountDead, which does not read jobs, counts it. Two rules keep both kinds of delete from taking a row that counts, or is about to:
//
//   - No key is used for two facts: times, rounds and dues are part of it. So a delete that comes late takes nothing new. The exception are keys
//     with "any": one correction can leave such a key and another take it up again. They are never deleted by a change, and no sweep reads them.
//   - A change can put the index row that a sweep has read. So a sweep deletes only what was put more than a minute ago, as the writer may be
//     between 2 and 3, which takes seconds; and only if the index row's token is still the one it read.
//
// The index row of a routine has a key that is used again when the name comes back. So no change deletes it, and the list of claims sweeps: whoever
// takes the name up again has put the row with a new token before.
//
// # Cost
//
// Calls, and capacity units as read and write, of the life of a job that takes less than 4 KB. A conditional write reads as well.
//
//	accept                             BatchWriteRow                                      1 R  6 W
//	begin, hand over                   BatchWriteRow                                      1 R  1 W
//	succeed                            3 BatchWriteRow                                    1 R  3 W
//	die                                3 BatchWriteRow                                    1 R  9 W
//	redrive                            BatchGetRow, 3 BatchWriteRow                       2 R 14 W
//	begin after a redrive              2 BatchWriteRow                                    1 R  2 W
//	new claim of a routine             2 BatchWriteRow                                    1 R  2 W
//	new claim of one to be made        BatchWriteRow                                      1 R  2 W
//	new claim of a host name           BatchWriteRow                                      1 R  1 W
//	change of a claim                  BatchWriteRow                                      1 R  1 W
//	change of both                     BatchWriteRow                                      2 R  2 W
//	a routine and two host names       BatchGetRow                                        3 R  0 W
//	page of 50                         GetRange, BatchGetRow
//	all host names of a routine        GetRange for each 1,000
//	count of dead letters              GetRange for each 5,000, or 4 MB
//
// A change takes one call more, a read, if the caller does not have the row. ChangeAll and Create put many jobs into one call. No call takes
// longer because there are more jobs, more routines, or more host names of one.
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
