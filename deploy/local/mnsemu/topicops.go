package mnsemu

// topicRecord is what is stored of a topic. Times are seconds.
type topicRecord struct {
	Name       string          `json:"name"`
	Attributes topicAttributes `json:"attributes"`
	Created    int64           `json:"created"`
	Modified   int64           `json:"modified"`
}

type topicAttributes struct {
	MaximumMessageSize int64 `json:"MaximumMessageSize"`
	LoggingEnabled     bool  `json:"LoggingEnabled"`
}

// topicRetentionSeconds is how long a topic tries to deliver a message; it cannot be set.
const topicRetentionSeconds = 86400

// topic is the working state of one topic.
type topic struct {
	topicRecord
	subscriptions map[string]*subscriptionRecord
}

func newTopic(r topicRecord) *topic {
	return &topic{topicRecord: r, subscriptions: map[string]*subscriptionRecord{}}
}

func (t *topic) stored() change { return putRecord(topicBucket, []byte(t.Name), &t.topicRecord) }

func (a topicAttributes) merge(document *element) (topicAttributes, error) {
	var err error
	a.MaximumMessageSize, err = document.integer("MaximumMessageSize", 1024, 65536, "bytes", a.MaximumMessageSize)
	if err != nil {
		return a, err
	}
	a.LoggingEnabled, err = document.boolean("LoggingEnabled", a.LoggingEnabled)
	return a, err
}

func (s *Server) createTopic(r *request) (answer, error) {
	wanted, err := topicAttributes{MaximumMessageSize: 65536}.merge(r.document)
	if err != nil {
		return answer{}, err
	}
	return s.create(r.base()+"/topics/"+r.topic, func() ([]change, error) {
		if existing := s.topics[r.topic]; existing != nil && existing.Attributes != wanted {
			return nil, alreadyExist("Topic")
		} else if existing != nil {
			return nil, nil
		}
		if len(s.topics) >= s.config.MaxTopics {
			return nil, badRequest("TopicNumExceededLimit", "The account has %d topics, which is the limit.", len(s.topics))
		}
		now := s.clock.Now().Unix()
		t := newTopic(topicRecord{Name: r.topic, Attributes: wanted, Created: now, Modified: now})
		s.topics[t.Name] = t
		return []change{t.stored()}, nil
	})
}

// topicOf finds the topic the path names. The caller holds the lock.
func (s *Server) topicOf(r *request) (*topic, error) {
	t := s.topics[r.topic]
	if t == nil {
		return nil, notExist("Topic")
	}
	return t, nil
}

func (s *Server) setTopicAttributes(r *request) (answer, error) {
	return noContent(), s.alter(func() ([]change, error) {
		t, err := s.topicOf(r)
		if err != nil {
			return nil, err
		}
		wanted, err := t.Attributes.merge(r.document)
		if err != nil {
			return nil, err
		}
		t.Attributes, t.Modified = wanted, s.clock.Now().Unix()
		return []change{t.stored()}, nil
	})
}

func (s *Server) getTopicAttributes(r *request) (answer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := s.topicOf(r)
	if err != nil {
		return answer{}, err
	}
	return ok(newDocument("Topic", func(d *document) { s.describeTopic(d, t) })), nil
}

// describeTopic counts as messages those that are not delivered to every subscription yet.
func (s *Server) describeTopic(d *document, t *topic) {
	undelivered := map[string]bool{}
	for _, p := range s.pushes {
		if p.Topic == t.Name {
			undelivered[p.MessageID] = true
		}
	}
	d.text("TopicName", t.Name)
	d.integer("MessageCount", int64(len(undelivered)))
	d.integer("CreateTime", t.Created)
	d.integer("LastModifyTime", t.Modified)
	d.integer("MaximumMessageSize", t.Attributes.MaximumMessageSize)
	d.integer("MessageRetentionPeriod", topicRetentionSeconds)
	d.boolean("LoggingEnabled", t.Attributes.LoggingEnabled)
}

// deleteTopic drops the topic, its subscriptions and what was still to be delivered; a missing topic is no error.
func (s *Server) deleteTopic(r *request) (answer, error) {
	return noContent(), s.alter(func() ([]change, error) {
		delete(s.topics, r.topic)
		return append(s.dropPushes(r.topic, ""),
			change{bucket: topicBucket, key: []byte(r.topic)},
			change{bucket: subscriptionBucket, key: []byte(r.topic + "/"), prefix: true}), nil
	})
}

func (s *Server) listTopic(r *request) (answer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	names, next, err := page(r, s.topics)
	if err != nil {
		return answer{}, err
	}
	return ok(newDocument("Topics", func(d *document) {
		for _, name := range names {
			d.element("Topic", func() {
				d.text("TopicURL", r.base()+"/topics/"+name)
				if withMeta(r) {
					s.describeTopic(d, s.topics[name])
					return
				}
				d.text("TopicName", name)
			})
		}
		describeNext(d, next)
	})), nil
}
