package mnsemu

import (
	"net"
	"net/url"
	"strings"
)

// Values of NotifyStrategy and NotifyContentFormat.
const (
	backoffRetry     = "BACKOFF_RETRY"
	exponentialRetry = "EXPONENTIAL_DECAY_RETRY"
	formatXML        = "XML"
	formatJSON       = "JSON"
	formatSimplified = "SIMPLIFIED"
)

// maxTagLength bounds FilterTag and MessageTag, in characters.
const maxTagLength = 16

// subscriptionRecord is what is stored of a subscription. Times are seconds.
type subscriptionRecord struct {
	Topic    string `json:"topic"`
	Name     string `json:"name"`
	Created  int64  `json:"created"`
	Modified int64  `json:"modified"`
	subscriptionAttributes
}

type subscriptionAttributes struct {
	Endpoint  string `json:"endpoint"`
	FilterTag string `json:"filterTag"`
	Strategy  string `json:"strategy"`
	Format    string `json:"format"`
}

func (c *subscriptionRecord) stored() change {
	return putRecord(subscriptionBucket, []byte(c.Topic+"/"+c.Name), c)
}

func readSubscription(e *element) (subscriptionAttributes, error) {
	a := subscriptionAttributes{Endpoint: e.value("Endpoint"), FilterTag: e.value("FilterTag"), Format: formatXML}
	if a.Endpoint == "" || !knownEndpoint(a.Endpoint) {
		return a, badRequest("EndpointInvalid", "The Endpoint %q you provided is invalid.", a.Endpoint)
	}
	if len([]rune(a.FilterTag)) > maxTagLength {
		return a, invalidArgument("The length of FilterTag should not exceed %d.", maxTagLength)
	}
	if format := e.value("NotifyContentFormat"); format != "" {
		a.Format = format
	}
	if a.Format != formatXML && a.Format != formatJSON && a.Format != formatSimplified {
		return a, invalidArgument("The value of NotifyContentFormat should be XML, JSON or SIMPLIFIED.")
	}
	var err error
	a.Strategy, err = readStrategy(e, backoffRetry)
	return a, err
}

func readStrategy(e *element, fallback string) (string, error) {
	strategy := e.value("NotifyStrategy")
	switch strategy {
	case "":
		return fallback, nil
	case backoffRetry, exponentialRetry:
		return strategy, nil
	}
	return "", invalidArgument("The value of NotifyStrategy should be %s or %s.", backoffRetry, exponentialRetry)
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

func (s *Server) subscribe(r *request) (answer, error) {
	wanted, err := readSubscription(r.document)
	if err != nil {
		return answer{}, err
	}
	// The recorded address of a subscription has no scheme, unlike those of queues and topics.
	return s.create(r.http.Host+"/topics/"+r.topic+"/subscriptions/"+r.subscription, func() ([]change, error) {
		t, err := s.topicOf(r)
		if err != nil {
			return nil, err
		}
		if existing := t.subscriptions[r.subscription]; existing != nil && existing.subscriptionAttributes != wanted {
			return nil, alreadyExist("Subscription")
		} else if existing != nil {
			return nil, nil
		}
		if n := len(t.subscriptions); n >= s.config.MaxSubscriptions {
			return nil, badRequest("SubscriptionNumExceededLimit", "The topic has %d subscriptions, which is the limit.", n)
		}
		now := s.clock.Now().Unix()
		c := &subscriptionRecord{Topic: t.Name, Name: r.subscription, Created: now, Modified: now, subscriptionAttributes: wanted}
		t.subscriptions[c.Name] = c
		return []change{c.stored()}, nil
	})
}

// subscriptionOf finds the subscription the path names. The caller holds the lock.
func (s *Server) subscriptionOf(r *request) (*subscriptionRecord, error) {
	t, err := s.topicOf(r)
	if err != nil {
		return nil, err
	}
	c := t.subscriptions[r.subscription]
	if c == nil {
		return nil, notExist("Subscription")
	}
	return c, nil
}

// setSubscriptionAttributes changes the strategy, the only attribute that can be changed.
func (s *Server) setSubscriptionAttributes(r *request) (answer, error) {
	return noContent(), s.alter(func() ([]change, error) {
		c, err := s.subscriptionOf(r)
		if err != nil {
			return nil, err
		}
		strategy, err := readStrategy(r.document, c.Strategy)
		if err != nil {
			return nil, err
		}
		c.Strategy, c.Modified = strategy, s.clock.Now().Unix()
		return []change{c.stored()}, nil
	})
}

func (s *Server) getSubscriptionAttributes(r *request) (answer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, err := s.subscriptionOf(r)
	if err != nil {
		return answer{}, err
	}
	return ok(newDocument("Subscription", func(d *document) { s.describeSubscription(d, c) })), nil
}

func (s *Server) describeSubscription(d *document, c *subscriptionRecord) {
	d.text("SubscriptionName", c.Name)
	d.text("Subscriber", s.config.AccountID)
	d.text("TopicOwner", s.config.AccountID)
	d.text("TopicName", c.Topic)
	d.text("Endpoint", c.Endpoint)
	if c.FilterTag != "" {
		d.text("FilterTag", c.FilterTag)
	}
	d.text("NotifyStrategy", c.Strategy)
	d.text("NotifyContentFormat", c.Format)
	d.integer("CreateTime", c.Created)
	d.integer("LastModifyTime", c.Modified)
}

// unsubscribe also drops what was still to be delivered; a missing subscription is no error, a missing topic is.
func (s *Server) unsubscribe(r *request) (answer, error) {
	return noContent(), s.alter(func() ([]change, error) {
		t, err := s.topicOf(r)
		if err != nil {
			return nil, err
		}
		delete(t.subscriptions, r.subscription)
		return append(s.dropPushes(r.topic, r.subscription),
			change{bucket: subscriptionBucket, key: []byte(r.topic + "/" + r.subscription)}), nil
	})
}

func (s *Server) listSubscriptionByTopic(r *request) (answer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := s.topicOf(r)
	if err != nil {
		return answer{}, err
	}
	names, next, err := page(r, t.subscriptions)
	if err != nil {
		return answer{}, err
	}
	return ok(newDocument("Subscriptions", func(d *document) {
		for _, name := range names {
			d.element("Subscription", func() {
				d.text("SubscriptionURL", r.base()+"/topics/"+t.Name+"/subscriptions/"+name)
				if withMeta(r) {
					s.describeSubscription(d, t.subscriptions[name])
					return
				}
				d.text("SubscriptionName", name)
			})
		}
		describeNext(d, next)
	})), nil
}
