package mnsemu

import (
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// topic is a topic as it is stored, with its subscriptions. Times are seconds.
type topic struct {
	Name          string                   `json:"name"`
	Attributes    topicAttributes          `json:"attributes"`
	Created       int64                    `json:"created"`
	Modified      int64                    `json:"modified"`
	Subscriptions map[string]*subscription `json:"subscriptions"`
}

type topicAttributes struct {
	MaximumMessageSize int64
	LoggingEnabled     bool
}

// subscription is one subscription of a topic. Times are seconds.
type subscription struct {
	Name       string                 `json:"name"`
	Attributes subscriptionAttributes `json:"attributes"`
	Created    int64                  `json:"created"`
	Modified   int64                  `json:"modified"`
}

type subscriptionAttributes struct{ Endpoint, FilterTag, Strategy, Format string }

// topicRetentionSeconds is how long a topic tries to deliver a message; it cannot be set.
const topicRetentionSeconds = 86400

// maxTagLength bounds FilterTag and MessageTag, in characters.
const maxTagLength = 16

// Values of NotifyStrategy and NotifyContentFormat.
const (
	backoffRetry     = "BACKOFF_RETRY"
	exponentialRetry = "EXPONENTIAL_DECAY_RETRY"
	formatXML        = "XML"
	formatJSON       = "JSON"
	formatSimplified = "SIMPLIFIED"
)

// keepTopic stores a topic with its subscriptions.
func (s *Server) keepTopic(t *topic) { s.store.put(topicBucket, t.Name, t) }

func (a topicAttributes) merge(document *element) (topicAttributes, error) {
	var err error
	a.MaximumMessageSize, err = document.integer("MaximumMessageSize", 1024, 65536, "bytes", a.MaximumMessageSize)
	if err != nil {
		return a, err
	}
	a.LoggingEnabled, err = document.boolean("LoggingEnabled", a.LoggingEnabled)
	return a, err
}

func createTopic(s *Server, r *request) (answer, error) {
	wanted, err := topicAttributes{MaximumMessageSize: 65536}.merge(r.document)
	if err != nil {
		return answer{}, err
	}
	existing := s.topics[r.topic]
	equal := existing != nil && existing.Attributes == wanted
	result, err := creation("Topic", r.base()+"/topics/"+r.topic, existing != nil, equal, len(s.topics), s.config.MaxTopics)
	if result.status == http.StatusCreated {
		now := s.clock.Now().Unix()
		t := &topic{Name: r.topic, Attributes: wanted, Created: now, Modified: now, Subscriptions: map[string]*subscription{}}
		s.topics[t.Name] = t
		s.keepTopic(t)
	}
	return result, err
}

// topicOf finds the topic that a request is about.
func (s *Server) topicOf(r *request) (*topic, error) {
	t := s.topics[r.topic]
	if t == nil {
		return nil, notExist("Topic")
	}
	return t, nil
}

func setTopicAttributes(s *Server, r *request) (answer, error) {
	t, err := s.topicOf(r)
	if err != nil {
		return answer{}, err
	}
	wanted, err := t.Attributes.merge(r.document)
	if err != nil {
		return answer{}, err
	}
	t.Attributes, t.Modified = wanted, s.clock.Now().Unix()
	s.keepTopic(t)
	return noContent(), nil
}

func getTopicAttributes(s *Server, r *request) (answer, error) {
	t, err := s.topicOf(r)
	if err != nil {
		return answer{}, err
	}
	return ok(group("Topic", s.describeTopic(t)...)), nil
}

// describeTopic counts as messages those that are not delivered to every subscription yet.
func (s *Server) describeTopic(t *topic) []element {
	undelivered := map[string]bool{}
	for _, p := range s.pushes {
		if p.Topic == t.Name {
			undelivered[p.MessageID] = true
		}
	}
	return []element{
		field("TopicName", t.Name),
		field("MessageCount", len(undelivered)),
		field("CreateTime", t.Created),
		field("LastModifyTime", t.Modified),
		field("MaximumMessageSize", t.Attributes.MaximumMessageSize),
		field("MessageRetentionPeriod", topicRetentionSeconds),
		field("LoggingEnabled", t.Attributes.LoggingEnabled),
	}
}

// deleteTopic drops the topic, its subscriptions and what was still to be delivered; a missing topic is no error.
func deleteTopic(s *Server, r *request) (answer, error) {
	delete(s.topics, r.topic)
	s.store.remove(topicBucket, r.topic)
	s.dropPushes(func(p *push) bool { return p.Topic == r.topic })
	return noContent(), nil
}

func listTopic(s *Server, r *request) (answer, error) {
	return listed(r, "Topic", "/topics/", s.topics, s.describeTopic)
}

func readSubscription(e *element) (subscriptionAttributes, error) {
	a := subscriptionAttributes{Endpoint: e.value("Endpoint"), FilterTag: e.value("FilterTag")}
	if !knownEndpoint(a.Endpoint) {
		return a, badRequest("EndpointInvalid", "The Endpoint %q you provided is invalid.", a.Endpoint)
	}
	if len([]rune(a.FilterTag)) > maxTagLength {
		return a, invalidArgument("The length of FilterTag should not exceed %d.", maxTagLength)
	}
	var err error
	if a.Format, err = e.oneOf("NotifyContentFormat", formatXML, formatJSON, formatSimplified); err != nil {
		return a, err
	}
	a.Strategy, err = e.oneOf("NotifyStrategy", backoffRetry, exponentialRetry)
	return a, err
}

// oneOf is the value of an optional child that must be one of these; absent gives the first.
func (e *element) oneOf(name string, values ...string) (string, error) {
	value := e.value(name)
	if value == "" {
		return values[0], nil
	}
	if !slices.Contains(values, value) {
		return "", invalidArgument("The value of %s should be %s.", name, strings.Join(values, " or "))
	}
	return value, nil
}

// knownEndpoint accepts the forms of the documents: a web address, a queue, mail, SMS.
func knownEndpoint(endpoint string) bool {
	if strings.HasPrefix(endpoint, "mail:directmail:") || strings.HasPrefix(endpoint, "sms:directsms:") {
		return true
	}
	if queue, isQueue := endpointQueue(endpoint); isQueue {
		return queue != ""
	}
	u, err := url.Parse(endpoint)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != ""
}

// endpointQueue is the queue of acs:mns:{region}:{account}:queues/{queue}.
func endpointQueue(endpoint string) (queue string, isQueue bool) {
	parts := strings.SplitN(endpoint, ":", 5)
	if len(parts) != 5 || parts[0] != "acs" || parts[1] != "mns" {
		return "", false
	}
	return strings.CutPrefix(parts[4], "queues/")
}

// endpointURL is the address to push to, and whether it is one that this server pushes to.
func endpointURL(endpoint string) (address string, pushed bool) {
	u, err := url.Parse(endpoint)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") {
		return "", false
	}
	ip := net.ParseIP(u.Hostname())
	if u.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return "", false
	}
	if strings.Trim(u.Path, "/") == "" {
		u.Path = "/notifications"
	}
	return u.String(), true
}

func subscribe(s *Server, r *request) (answer, error) {
	t, err := s.topicOf(r)
	if err != nil {
		return answer{}, err
	}
	wanted, err := readSubscription(r.document)
	if err != nil {
		return answer{}, err
	}
	// The recorded address of a subscription has no scheme, unlike those of queues and topics.
	location := r.http.Host + "/topics/" + t.Name + "/subscriptions/" + r.subscription
	existing := t.Subscriptions[r.subscription]
	equal := existing != nil && existing.Attributes == wanted
	result, err := creation("Subscription", location, existing != nil, equal, len(t.Subscriptions), s.config.MaxSubscriptions)
	if result.status == http.StatusCreated {
		now := s.clock.Now().Unix()
		t.Subscriptions[r.subscription] = &subscription{Name: r.subscription, Attributes: wanted, Created: now, Modified: now}
		s.keepTopic(t)
	}
	return result, err
}

// subscriptionOf finds the subscription that a request is about, and its topic.
func (s *Server) subscriptionOf(r *request) (*topic, *subscription, error) {
	t, err := s.topicOf(r)
	if err != nil {
		return nil, nil, err
	}
	c := t.Subscriptions[r.subscription]
	if c == nil {
		return nil, nil, notExist("Subscription")
	}
	return t, c, nil
}

// setSubscriptionAttributes changes the strategy, the only attribute that can be changed.
func setSubscriptionAttributes(s *Server, r *request) (answer, error) {
	t, c, err := s.subscriptionOf(r)
	if err != nil {
		return answer{}, err
	}
	if r.document.value("NotifyStrategy") != "" {
		if c.Attributes.Strategy, err = r.document.oneOf("NotifyStrategy", backoffRetry, exponentialRetry); err != nil {
			return answer{}, err
		}
	}
	c.Modified = s.clock.Now().Unix()
	s.keepTopic(t)
	return noContent(), nil
}

func getSubscriptionAttributes(s *Server, r *request) (answer, error) {
	t, c, err := s.subscriptionOf(r)
	if err != nil {
		return answer{}, err
	}
	return ok(group("Subscription", s.describeSubscription(t, c)...)), nil
}

func (s *Server) describeSubscription(t *topic, c *subscription) []element {
	all := []element{
		field("SubscriptionName", c.Name),
		field("Subscriber", s.config.AccountID),
		field("TopicOwner", s.config.AccountID),
		field("TopicName", t.Name),
		field("Endpoint", c.Attributes.Endpoint),
	}
	if c.Attributes.FilterTag != "" {
		all = append(all, field("FilterTag", c.Attributes.FilterTag))
	}
	return append(all,
		field("NotifyStrategy", c.Attributes.Strategy),
		field("NotifyContentFormat", c.Attributes.Format),
		field("CreateTime", c.Created),
		field("LastModifyTime", c.Modified))
}

// unsubscribe also drops what was still to be delivered; a missing subscription is no error, a missing topic is.
func unsubscribe(s *Server, r *request) (answer, error) {
	t, err := s.topicOf(r)
	if err != nil {
		return answer{}, err
	}
	delete(t.Subscriptions, r.subscription)
	s.keepTopic(t)
	s.dropPushes(func(p *push) bool { return p.Topic == t.Name && p.Subscription == r.subscription })
	return noContent(), nil
}

func listSubscriptionByTopic(s *Server, r *request) (answer, error) {
	t, err := s.topicOf(r)
	if err != nil {
		return answer{}, err
	}
	return listed(r, "Subscription", "/topics/"+t.Name+"/subscriptions/", t.Subscriptions, func(c *subscription) []element {
		return s.describeSubscription(t, c)
	})
}

// publishMessage gives a message to every subscription whose tag it has, or that has none: to a queue at once, to others by a push.
func publishMessage(s *Server, r *request) (answer, error) {
	t, err := s.topicOf(r)
	if err != nil {
		return answer{}, err
	}
	tag := r.document.value("MessageTag")
	if len([]rune(tag)) > maxTagLength {
		return answer{}, invalidArgument("The length of MessageTag should not exceed %d.", maxTagLength)
	}
	m, err := s.readMessage(r.document, t.Attributes.MaximumMessageSize, 0)
	if err != nil {
		return answer{}, err
	}
	for _, name := range slices.Sorted(maps.Keys(t.Subscriptions)) {
		c := t.Subscriptions[name].Attributes
		if c.FilterTag != "" && c.FilterTag != tag {
			continue
		}
		p := &push{
			Number: s.number(), Due: m.Enqueued, Topic: t.Name, Subscription: name, Endpoint: c.Endpoint, Format: c.Format,
			MessageID: m.ID, Body: m.Body, MD5: m.MD5, Tag: tag, Published: m.Enqueued, System: m.System, User: m.User,
		}
		_, isQueue := endpointQueue(p.Endpoint)
		_, isPushed := endpointURL(p.Endpoint)
		if !s.queued(p) && (isQueue || isPushed) {
			s.pushes[p.Number] = p
			s.store.put(pushBucket, key(p.Number), p)
			s.launch(p)
		}
	}
	return created(group("Message", describeSent(m)...)), nil
}
