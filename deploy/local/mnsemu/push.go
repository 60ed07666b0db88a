package mnsemu

import (
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"routinely/deploy/local/clock"
)

// push is a published message that has to be delivered by calling an endpoint, or to a queue that is missing. Times are milliseconds.
type push struct {
	Number   uint64 `json:"number"`
	Attempts int    `json:"attempts"`
	// Due is when the next attempt is made.
	Due          int64      `json:"nextAttemptTime"`
	Topic        string     `json:"topic"`
	Subscription string     `json:"subscription"`
	Endpoint     string     `json:"endpoint"`
	Format       string     `json:"format"`
	MessageID    string     `json:"messageId"`
	Body         string     `json:"body"`
	MD5          string     `json:"md5"`
	Tag          string     `json:"tag,omitempty"`
	Published    int64      `json:"publishTime"`
	System       []property `json:"systemProperties,omitempty"`
	User         []property `json:"userProperties,omitempty"`
	timer        clock.Timer
}

func (p *push) stopTimer() {
	if p.timer != nil {
		p.timer.Stop()
	}
}

// render is the text the endpoint gets, with its content type.
func (p *push) render(account string) (text, contentType string) {
	switch p.Format {
	case formatSimplified:
		return p.Body, "text/plain;charset=utf-8"
	case formatJSON:
		// The recorded order is that in which a Java HashMap yields these keys. A tag was not recorded: its place is that which such a map has
		// for it. Strings always marshal.
		encoded, _ := json.Marshal(struct {
			TopicOwner, Message, Subscriber                                 string
			MessageTag                                                      string `json:",omitempty"`
			PublishTime, SubscriptionName, MessageMD5, TopicName, MessageId string
		}{
			account, p.Body, account, p.Tag,
			strconv.FormatInt(p.Published, 10), p.Subscription, p.MD5, p.Topic, p.MessageID,
		})
		return string(encoded), "text/json;charset=utf-8"
	}
	e := group("Notification",
		field("TopicOwner", account),
		field("TopicName", p.Topic),
		field("Subscriber", account),
		field("SubscriptionName", p.Subscription),
		field("MessageId", p.MessageID),
		field("Message", p.Body),
		field("MessageMD5", p.MD5))
	if p.Tag != "" {
		e.Children = append(e.Children, field("MessageTag", p.Tag))
	}
	e.Children = append(e.Children, field("PublishTime", p.Published))
	return string(render(e)), "text/xml;charset=utf-8"
}

// queued delivers a push to its queue, where it has an identity of its own. It reports false when the endpoint is no queue, or a missing
// one. The caller holds the lock.
func (s *Server) queued(p *push) bool {
	name, isQueue := endpointQueue(p.Endpoint)
	q := s.queues[name]
	if !isQueue || q == nil {
		return false
	}
	text, _ := p.render(s.config.AccountID)
	m := s.newMessage(text, q.Attributes.DelaySeconds)
	m.System, m.User = p.System, p.User
	s.insert(q, m)
	s.settle(q)
	return true
}

// newPusher is an HTTP client that takes any redirect for a failure, as the service does, and gives an endpoint 5 seconds to answer.
func newPusher() *http.Client {
	return &http.Client{
		Timeout:       5 * time.Second,
		Transport:     &http.Transport{},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// plan waits until a push is due and then tries it. The caller holds the lock.
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

// launch makes an attempt in the background. The caller holds the lock.
func (s *Server) launch(p *push) {
	if !s.closed {
		s.running.Go(func() { s.attempt(p) })
	}
}

// attempt delivers a push or plans its retry.
func (s *Server) attempt(p *push) {
	called := s.call(p)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.pushes[p.Number] != p {
		return
	}
	p.Attempts++
	delay, more := s.retryDelay(p)
	p.Due = s.nowMillis() + delay.Milliseconds()
	if called || s.queued(p) || !more || p.Due > p.Published+topicRetentionSeconds*1000 {
		s.dropPushes(func(each *push) bool { return each == p })
		return
	}
	s.store.put(pushBucket, key(p.Number), p)
	s.plan(p)
}

// retryDelay is the pause before the next attempt, and whether there is one.
func (s *Server) retryDelay(p *push) (time.Duration, bool) {
	t := s.topics[p.Topic]
	if t != nil && t.Subscriptions[p.Subscription] != nil && t.Subscriptions[p.Subscription].Attributes.Strategy == exponentialRetry {
		// 1, 2, 4 … 512 seconds and then 512 again: 176 retries in about a day.
		return time.Second << min(p.Attempts-1, 9), p.Attempts <= 176
	}
	return 10*time.Second + time.Duration(s.random.Int64N(int64(10*time.Second))), p.Attempts <= 3
}

// call posts a push to its endpoint, if that is a web address, and reports whether it was accepted.
func (s *Server) call(p *push) bool {
	address, isPushed := endpointURL(p.Endpoint)
	if !isPushed {
		return false
	}
	text, contentType := p.render(s.config.AccountID)
	request, err := http.NewRequestWithContext(s.background, http.MethodPost, address, strings.NewReader(text))
	if err != nil {
		return false
	}
	s.pushHeaders(p, request.Header, text, contentType)
	response, err := s.pusher.Do(request)
	if err != nil {
		return false
	}
	// The answer's body is read so that the connection can be used again; it means nothing.
	_, _ = io.CopyN(io.Discard, response.Body, 1<<16)
	_ = response.Body.Close()
	return response.StatusCode/100 == 2
}

// pushHeaders sets the documented headers but those of the signature. Content-md5 is that of the page on verifying pushes: Base64 of the sum's
// hex text.
func (s *Server) pushHeaders(p *push, header http.Header, text, contentType string) {
	now, digest := s.clock.Now(), md5.Sum([]byte(text))
	header.Set("Date", now.UTC().Format(http.TimeFormat))
	header["Content-md5"] = []string{base64.StdEncoding.EncodeToString([]byte(hex.EncodeToString(digest[:])))}
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
		"x-mns-publish-time": fmt.Sprint(p.Published),
	} {
		if value != "" {
			header[name] = []string{value}
		}
	}
}

// dropPushes forgets the pushes for which unwanted is true. The caller holds the lock.
func (s *Server) dropPushes(unwanted func(*push) bool) {
	for number, p := range s.pushes {
		if unwanted(p) {
			p.stopTimer()
			delete(s.pushes, number)
			s.store.remove(pushBucket, key(number))
		}
	}
}
