package bench_test

import (
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	openapi "github.com/alibabacloud-go/darabonba-openapi/v2/utils"
	esa "github.com/alibabacloud-go/esa-20240910/v2/client"
	"github.com/alibabacloud-go/tea/tea"

	"routinely/deploy/local/localtest"
	"routinely/deploy/local/stack"
)

// The peers are what people do without a queue: workers that call ESA with the official SDK and repeat a call that the
// account lock refused, after exponential backoff with full jitter, without ever giving up. The numbers are in the middle of
// what retry libraries come with; first backoffs from 10 to 200 ms come to the same: more calls, and about twice the time.
const (
	peerCallers     = 10
	peerBackoffBase = 100 * time.Millisecond
	peerBackoffCap  = 5 * time.Second
)

// runCallers does the lane's jobs with SDK callers on a fresh ESA of the same latency.
func runCallers(b *testing.B, callers int) effort {
	b.Helper()
	server, url := localtest.ESA(b, nil, laneLatency)
	jobs := make(chan wish, laneJobs)
	for i := range laneJobs {
		jobs <- wishNumber(i)
	}
	close(jobs)
	failures := make(chan error, callers)
	var running sync.WaitGroup
	clients := make([]*esa.Client, callers)
	for i := range clients {
		clients[i] = newSDK(b, url)
	}
	began := time.Now()
	for _, client := range clients {
		running.Go(func() {
			for w := range jobs {
				if err := provision(client, w); err != nil {
					failures <- err
					return
				}
			}
		})
	}
	running.Wait()
	ended := time.Now()
	select {
	case err := <-failures:
		b.Fatal(err)
	default:
	}
	checkESA(b, server, routines())
	writes, refusals := traffic(server)
	return effort{makespan: ended.Sub(began), writes: writes, refusals: refusals}
}

// newSDK returns the official client for one caller: it cannot be shared, since each call writes to its fields.
func newSDK(b *testing.B, url string) *esa.Client {
	b.Helper()
	client, err := esa.NewClient(&openapi.Config{
		Endpoint: tea.String(strings.TrimPrefix(url, "http://")), Protocol: tea.String("HTTP"), MaxIdleConns: tea.Int(peerCallers),
		AccessKeyId: tea.String(localtest.AccessKeyID), AccessKeySecret: tea.String(localtest.AccessKeySecret),
	})
	if err != nil {
		b.Fatal(err)
	}
	return client
}

// provision performs the two steps of one job.
func provision(client *esa.Client, w wish) error {
	err := untilUnlocked(func() error {
		_, err := client.CreateRoutine(&esa.CreateRoutineRequest{Name: &w.name})
		return err
	})
	if err != nil {
		return err
	}
	return untilUnlocked(func() error {
		_, err := client.CreateRoutineRelatedRecord(&esa.CreateRoutineRelatedRecordRequest{
			Name: &w.name, SiteId: tea.Int64(stack.SiteID), RecordName: &w.record,
		})
		return err
	})
}

// untilUnlocked repeats a call while the account lock refuses it.
func untilUnlocked(call func() error) error {
	for bound := peerBackoffBase; ; bound = min(2*bound, peerBackoffCap) {
		err := call()
		var refused *tea.SDKError
		if !errors.As(err, &refused) || tea.StringValue(refused.Code) != codeLocked {
			return err
		}
		time.Sleep(rand.N(bound))
	}
}
