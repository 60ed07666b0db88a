package mnsemu

import (
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"

	"routinely/deploy/local/clock"
)

// push is a notice that has to be delivered by calling an endpoint, or to a queue that is missing.
type push struct {
	Number   uint64 `json:"number"`
	Attempts int    `json:"attempts"`
	// Due is when the next attempt is made, in milliseconds.
	Due int64 `json:"due"`
	notice
	timer clock.Timer
}

func (p *push) stored() change { return putRecord(pushBucket, key(p.Number), p) }

func (p *push) removed() change { return change{bucket: pushBucket, key: key(p.Number)} }

// pushTimeout is how long an endpoint has to answer.
const pushTimeout = 5 * time.Second

// newPusher is an HTTP client that takes any redirect for a failure, as the service does.
func newPusher() *http.Client {
	return &http.Client{
		Timeout:       pushTimeout,
		Transport:     &http.Transport{},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// retryDelay is the pause before the given retry, counted from 1, and whether the strategy has it. A backoff draws from random.
func retryDelay(strategy string, retry int, random *rand.Rand) (time.Duration, bool) {
	if strategy == exponentialRetry {
		// 1, 2, 4 … 512 seconds and then 512 again: 176 retries in about a day.
		return time.Second << min(retry-1, 9), retry <= 176
	}
	return 10*time.Second + time.Duration(random.Int64N(int64(10*time.Second))), retry <= 3
}

// launch makes an attempt in the background. The caller holds the lock.
func (s *Server) launch(p *push) {
	if !s.closed {
		s.running.Go(func() { s.attempt(p) })
	}
}

// attempt delivers a push or plans its retry.
func (s *Server) attempt(p *push) {
	err := s.deliverPush(p)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.pushes[p.Number] != p {
		return
	}
	p.Attempts++
	delay, more := retryDelay(s.strategyOf(p), p.Attempts, s.disorder.random)
	p.Due = s.nowMillis() + delay.Milliseconds()
	if err == nil || !more || p.Due > p.Published+topicRetentionSeconds*1000 {
		delete(s.pushes, p.Number)
		s.store.add(p.removed())
		return
	}
	s.store.add(p.stored())
	s.plan(p)
}

func (s *Server) strategyOf(p *push) string {
	if t := s.topics[p.Topic]; t != nil && t.subscriptions[p.Subscription] != nil {
		return t.subscriptions[p.Subscription].Strategy
	}
	return backoffRetry
}

// plan sets the timer of a push for when it is due. The caller holds the lock.
func (s *Server) plan(p *push) {
	delay := p.Due - s.nowMillis()
	if delay <= 0 {
		s.launch(p)
		return
	}
	p.timer = s.clock.AfterFunc(time.Duration(delay)*time.Millisecond, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.pushes[p.Number] == p {
			s.launch(p)
		}
	})
}

func (s *Server) deliverPush(p *push) error {
	if name, isQueue := endpointQueue(p.Endpoint); isQueue {
		q, _, err := s.existing(name)
		if err != nil {
			return err
		}
		return s.keep(q, []*message{s.composeNotice(q, &p.notice)})
	}
	address, _ := endpointURL(p.Endpoint)
	text, contentType := p.render(s.config.AccountID)
	request, err := http.NewRequestWithContext(s.background, http.MethodPost, address, strings.NewReader(text))
	if err != nil {
		return err
	}
	s.pushHeaders(p, request.Header, text, contentType)
	return s.call(request)
}

// pushHeaders sets the documented headers but those of the signature. Content-md5 is that of the page on verifying pushes: Base64 of the sum's
// hex text.
func (s *Server) pushHeaders(p *push, header http.Header, text, contentType string) {
	now, sum := s.clock.Now(), md5.Sum([]byte(text))
	header.Set("Date", now.UTC().Format(http.TimeFormat))
	header["Content-md5"] = []string{base64.StdEncoding.EncodeToString([]byte(hex.EncodeToString(sum[:])))}
	header.Set("Content-Type", contentType)
	header.Set("User-Agent", "Aliyun Notification Service Agent")
	header["x-mns-request-id"] = []string{newRequestID(now)}
	header["x-mns-version"] = []string{protocolVersion}
	if p.Format != formatSimplified {
		return
	}
	for name, value := range map[string]string{
		"x-mns-topic-owner": s.config.AccountID, "x-mns-topic-name": p.Topic,
		"x-mns-subscriber": s.config.AccountID, "x-mns-subscription-name": p.Subscription,
		"x-mns-message-id": p.MessageID, "x-mns-message-tag": p.Tag,
		"x-mns-publish-time": strconv.FormatInt(p.Published, 10),
	} {
		if value != "" {
			header[name] = []string{value}
		}
	}
}

func (s *Server) call(request *http.Request) error {
	response, err := s.pusher.Do(request)
	if err != nil {
		return err
	}
	// The answer's body is read so that the connection can be used again; it means nothing.
	_, _ = io.CopyN(io.Discard, response.Body, 1<<16)
	_ = response.Body.Close()
	if response.StatusCode < 200 || response.StatusCode > 299 {
		return fmt.Errorf("the endpoint answered %s", response.Status)
	}
	return nil
}

// dropPushes forgets what was to be delivered to a subscription, or to all of a topic when subscription is empty, and returns the
// changes to store. The caller holds the lock.
func (s *Server) dropPushes(topic, subscription string) []change {
	var changes []change
	for number, p := range s.pushes {
		if p.Topic != topic || (subscription != "" && p.Subscription != subscription) {
			continue
		}
		if p.timer != nil {
			p.timer.Stop()
		}
		delete(s.pushes, number)
		changes = append(changes, p.removed())
	}
	return changes
}

// restoreTopics fills in topics, subscriptions and pushes from the file. The caller holds the lock.
func (s *Server) restoreTopics(im *image) {
	for _, r := range im.topics {
		s.topics[r.Name] = newTopic(r)
	}
	for _, r := range im.subscriptions {
		if t := s.topics[r.Topic]; t != nil {
			t.subscriptions[r.Name] = &r
		}
	}
	for _, p := range im.pushes {
		s.pushes[p.Number] = p
		s.plan(p)
	}
}
