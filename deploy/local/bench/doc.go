// Package bench measures the product on one machine: the unmodified function binaries on the local servers, against a floor
// or against what people do without them, both sides in the same run. It has benchmarks only; numbers are reported beside
// their targets, and a benchmark fails only when work was lost.
package bench
