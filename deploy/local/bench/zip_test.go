package bench_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// BenchmarkZip measures what is uploaded for each function, packed as for a deployment.
func BenchmarkZip(b *testing.B) {
	for b.Loop() {
		dir := b.TempDir()
		cmd := exec.Command("go", "run", "./deploy/pack", "-out", dir)
		cmd.Dir = root
		if output, err := cmd.CombinedOutput(); err != nil {
			b.Fatalf("pack: %v\n%s", err, output)
		}
		var sizes []measured
		for _, function := range []string{"accept", "provision", "notify", "janitor"} {
			info, err := os.Stat(filepath.Join(dir, function+".zip"))
			if err != nil {
				b.Fatal(err)
			}
			sizes = append(sizes, atMost(function+"-MB", float64(info.Size())/1e6, 8))
		}
		report(b, sizes...)
	}
}
