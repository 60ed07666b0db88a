package mnsemu

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
)

// notice is a published message on its way to one subscription. Times are milliseconds.
type notice struct {
	Topic        string     `json:"topic"`
	Subscription string     `json:"subscription"`
	Endpoint     string     `json:"endpoint"`
	Format       string     `json:"format"`
	MessageID    string     `json:"messageId"`
	Body         string     `json:"body"`
	MD5          string     `json:"md5"`
	Tag          string     `json:"tag,omitempty"`
	Published    int64      `json:"published"`
	System       []property `json:"system,omitempty"`
	User         []property `json:"user,omitempty"`
}

// render is the text the endpoint gets, with its content type.
func (n *notice) render(account string) (text, contentType string) {
	switch n.Format {
	case formatSimplified:
		return n.Body, "text/plain;charset=utf-8"
	case formatJSON:
		// The recorded order is that in which a Java HashMap yields these keys. A tag was not recorded: its place is that which such a map has
		// for it. Strings always marshal.
		encoded, _ := json.Marshal(struct {
			TopicOwner, Message, Subscriber                                 string
			MessageTag                                                      string `json:",omitempty"`
			PublishTime, SubscriptionName, MessageMD5, TopicName, MessageId string
		}{
			account, n.Body, account, n.Tag,
			strconv.FormatInt(n.Published, 10), n.Subscription, n.MD5, n.Topic, n.MessageID,
		})
		return string(encoded), "text/json;charset=utf-8"
	}
	return string(newDocument("Notification", func(d *document) {
		d.text("TopicOwner", account)
		d.text("TopicName", n.Topic)
		d.text("Subscriber", account)
		d.text("SubscriptionName", n.Subscription)
		d.text("MessageId", n.MessageID)
		d.text("Message", n.Body)
		d.text("MessageMD5", n.MD5)
		if n.Tag != "" {
			d.text("MessageTag", n.Tag)
		}
		d.integer("PublishTime", n.Published)
	})), "text/xml;charset=utf-8"
}

// wants says whether a subscription gets messages of a tag. Without a filter it gets all.
func (c *subscriptionRecord) wants(tag string) bool { return c.FilterTag == "" || c.FilterTag == tag }

// outbox is what one published message becomes.
type outbox struct {
	// queued are messages for queues that exist, by queue.
	queued map[*queue][]*message
	pushes []*push
	// changes make all of it durable.
	changes []change
}

func (s *Server) publishMessage(r *request) (answer, error) {
	n := notice{Tag: r.document.value("MessageTag"), MessageID: newMessageID(), Published: s.nowMillis()}
	if len([]rune(n.Tag)) > maxTagLength {
		return answer{}, invalidArgument("The length of MessageTag should not exceed %d.", maxTagLength)
	}
	var out outbox
	err := s.alter(func() ([]change, error) {
		t, err := s.topicOf(r)
		if err != nil {
			return nil, err
		}
		d, err := readDraft(r.document, queueAttributes{MaximumMessageSize: t.Attributes.MaximumMessageSize})
		if err != nil {
			return nil, err
		}
		n.Topic, n.Body, n.MD5 = t.Name, d.record.Body, bodyMD5(d.record.Body)
		n.System, n.User = d.record.System, d.record.User
		out = s.fanOut(t, n)
		return out.changes, nil
	})
	if err != nil {
		return answer{}, err
	}
	s.release(out)
	return created(newDocument("Message", func(d *document) {
		d.text("MessageId", n.MessageID)
		d.text("MessageBodyMD5", n.MD5)
	})), nil
}

// fanOut makes what each subscription of the topic is to get. The caller holds the lock.
func (s *Server) fanOut(t *topic, n notice) outbox {
	out := outbox{queued: map[*queue][]*message{}}
	for _, name := range slices.Sorted(maps.Keys(t.subscriptions)) {
		c := t.subscriptions[name]
		if !c.wants(n.Tag) {
			continue
		}
		n.Subscription, n.Endpoint, n.Format = c.Name, c.Endpoint, c.Format
		queueName, isQueue := endpointQueue(c.Endpoint)
		if q := s.queues[queueName]; isQueue && q != nil {
			m := s.composeNotice(q, &n)
			out.queued[q] = append(out.queued[q], m)
			out.changes = append(out.changes, m.stored())
			continue
		}
		if _, isPushed := endpointURL(c.Endpoint); isPushed || isQueue {
			p := &push{Number: s.number(), Due: n.Published, notice: n}
			out.pushes = append(out.pushes, p)
			out.changes = append(out.changes, p.stored())
		}
	}
	return out
}

// composeNotice is a notice as a message of a queue, which has its own identity there.
func (s *Server) composeNotice(q *queue, n *notice) *message {
	text, _ := n.render(s.config.AccountID)
	record := messageRecord{Body: text, Priority: 8, System: n.System, User: n.User}
	return s.compose(q, draft{record: record, delay: q.Attributes.DelaySeconds}, s.nowMillis())
}

// release shows what is on disk now and starts the pushes.
func (s *Server) release(out outbox) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for q, messages := range out.queued {
		// A queue deleted meanwhile took its messages with it.
		_ = s.show(q, messages)
	}
	for _, p := range out.pushes {
		s.pushes[p.Number] = p
		s.launch(p)
	}
}
