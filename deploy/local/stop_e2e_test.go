package main_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"

	"routinely/deploy/local/stack"
)

// TestTermination asks the worker's process to end in the middle of a job, as a platform does.
func TestTermination(t *testing.T) {
	t.Parallel()
	job := func(a account, answer []byte) (state string, attempts, handedBack int) {
		t.Helper()
		var accepted, seen struct {
			ID, State  string
			Attempts   []any
			HandedBack int
		}
		decode(t, answer, &accepted)
		decode(t, send(t, http.MethodGet, a.http+"/v1/jobs/"+accepted.ID, ""), &seen)
		return seen.State, len(seen.Attempts), seen.HandedBack
	}
	submit := func(a account) []byte {
		t.Helper()
		status, answer := callAs(t, "POST", a.http+"/v1/routines", "", `{"name":"ended","siteId":54362329990032,"recordName":"ended.example.com"}`)
		if status != 202 {
			t.Fatalf("%d %s", status, answer)
		}
		return []byte(answer[strings.Index(answer, "{"):])
	}
	t.Run("a job at ESA comes to its end first, and is not done twice", func(t *testing.T) {
		t.Parallel()
		a := run(t, "-latency", "1s")
		answer := submit(a)
		terminate(t, a.busy(t, worker).PID)
		a.await(`job succeeded`)
		if state, attempts, handedBack := job(a, answer); state != "succeeded" || attempts != 0 || handedBack != 0 {
			t.Errorf("%s, %d attempts failed, handed back %d times", state, attempts, handedBack)
		}
		a.signal(syscall.SIGINT)
		a.wait()
		if n := strings.Count(a.seen.String(), "job succeeded"); n != 1 {
			t.Errorf("the job was done %d times:\n%s", n, a.seen.String())
		}
	})
	t.Run("a job that waits for the account lock is handed back, and no attempt counts as failed", func(t *testing.T) {
		t.Parallel()
		a := run(t)
		send(t, http.MethodPost, a.esa+"/_local/faults", `{"action":"CreateRoutine","times":-1,"fault":{"answer":"error","status":400,"code":"UserOperationStatusIsLocked"}}`)
		answer := submit(a)
		until(t, "ESA refuses the job", func() bool {
			return strings.Contains(string(send(t, http.MethodGet, a.esa+"/_local/calls", "")), "UserOperationStatusIsLocked")
		})
		terminate(t, a.busy(t, worker).PID)
		a.await(`job handed-back`)
		send(t, http.MethodDelete, a.esa+"/_local/faults", "")
		a.await(`job succeeded`)
		if state, attempts, handedBack := job(a, answer); state != "succeeded" || attempts != 0 || handedBack == 0 {
			t.Errorf("%s, %d attempts failed, handed back %d times", state, attempts, handedBack)
		}
		a.signal(syscall.SIGINT)
		a.wait()
	})
	t.Run("a request is answered first that waits for its job to be on the queue", func(t *testing.T) {
		t.Parallel()
		a := run(t)
		send(t, http.MethodPost, a.mns+"/_local/faults", `{"action":"SendMessage","fault":{"answer":"slow","delayMillis":2000}}`)
		answered := make(chan error, 1)
		go func() {
			body := `{"name":"late","siteId":54362329990032,"recordName":"late.example.com"}`
			client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
			res, err := client.Post(a.http+"/v1/routines", "application/json", strings.NewReader(body))
			if err == nil {
				_ = res.Body.Close()
				if res.StatusCode != http.StatusAccepted {
					err = errors.New(res.Status)
				}
			}
			answered <- err
		}()
		terminate(t, a.busy(t, accept).PID)
		if err := <-answered; err != nil {
			t.Error(err)
		}
		a.signal(syscall.SIGINT)
		a.wait()
	})
	t.Run("a callback on its way is delivered first, and not twice", func(t *testing.T) {
		t.Parallel()
		arrived, release := make(chan bool, 10), make(chan bool)
		receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			arrived <- true
			<-release
		}))
		defer receiver.Close()
		a := run(t)
		body := `{"name":"told","siteId":54362329990032,"recordName":"told.example.com","callbackUrl":"` + receiver.URL + `"}`
		if status, answer := callAs(t, "POST", a.http+"/v1/routines", "", body); status != 202 {
			t.Fatalf("%d %s", status, answer)
		}
		<-arrived
		terminate(t, a.busy(t, stack.FunctionNotify).PID)
		close(release)
		a.await("callback delivered")
		a.signal(syscall.SIGINT)
		a.wait()
		if n := len(arrived); n != 0 {
			t.Errorf("it was sent %d times more", n)
		}
	})
}

func terminate(t *testing.T, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
}
