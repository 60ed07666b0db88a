package callback_test

import (
	"context"
	"net"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"routinely/shared/callback"
	"routinely/shared/fault"
)

// nameServer is a DNS server over UDP that answers each question for an IPv4 address with the next of its lists, none with the
// code for a name that does not exist.
func nameServer(t *testing.T, answers ...[][4]byte) *net.Resolver {
	t.Helper()
	socket, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		packet := make([]byte, 512)
		for {
			n, from, err := socket.ReadFrom(packet)
			if err != nil {
				return
			}
			var message dnsmessage.Message
			if message.Unpack(packet[:n]) != nil {
				continue
			}
			message.Response, message.Additionals = true, nil
			message.RCode = dnsmessage.RCodeNameError
			if len(answers) > 0 {
				message.RCode = dnsmessage.RCodeSuccess
			}
			if q := message.Questions[0]; q.Type == dnsmessage.TypeA && len(answers) > 0 {
				for _, addr := range answers[0] {
					head := dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class}
					message.Answers = append(message.Answers, dnsmessage.Resource{Header: head, Body: &dnsmessage.AResource{A: addr}})
				}
				answers = answers[1:]
			}
			if packed, err := message.Pack(); err == nil {
				_, _ = socket.WriteTo(packed, from)
			}
		}
	})
	t.Cleanup(func() {
		_ = socket.Close()
		running.Wait()
	})
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", socket.LocalAddr().String())
	}}
}

func TestNameServer(t *testing.T) {
	t.Run("does not help who answers with an inner address the second time", func(t *testing.T) {
		r := newReceiver(t, nil)
		dns := nameServer(t, [][4]byte{{127, 0, 0, 1}}, [][4]byte{{100, 100, 100, 200}})
		s := newSender(t, callback.Config{Policy: thisMachine(), RootCAs: r.roots(), Resolver: dns})
		url := "https://example.com:" + r.port() + "/"
		if err := s.Post(t.Context(), url, newEvent(t, job())); err != nil {
			t.Fatal(err)
		}
		failed(t, s.Post(t.Context(), url, newEvent(t, job())), fault.Denied, callback.CodeForbidden)
		if len(r.requests()) != 1 {
			t.Errorf("got %d requests", len(r.requests()))
		}
	})
	t.Run("is not named in errors", func(t *testing.T) {
		err := newSender(t, callback.Config{Resolver: nameServer(t)}).Post(t.Context(), "https://nobody.example./", newEvent(t, job()))
		got := failed(t, err, fault.Unavailable, callback.CodeUnreachable)
		if !strings.Contains(got.Message, "no such host name") || strings.Contains(got.Message, "127.0.0.1") || got.OutcomeUnknown {
			t.Errorf("got %+v", got)
		}
	})
}
