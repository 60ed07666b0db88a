package mnsemu

import (
	"net/http"
	"strings"
)

// route finds the operation by method, path and query, and reads the document where the operation has one.
func (s *Server) route(r *request) operation {
	segments := strings.Split(strings.Trim(r.path, "/"), "/")
	switch {
	case r.path == "/" && has(r.query, "accountmeta"):
		return s.routeAccount(r)
	case r.path == "/commonbuy/openservice" && r.http.Method == http.MethodPost:
		return operation{"OpenService", s.openService}
	case segments[0] == "queues":
		return s.routeQueues(r, segments[1:])
	case segments[0] == "topics":
		return s.routeTopics(r, segments[1:])
	}
	return s.unknown(r)
}

func has(query map[string]string, name string) bool {
	_, present := query[name]
	return present
}

// unknown is the operation of a request that is none.
func (s *Server) unknown(r *request) operation {
	return operation{"Unknown", func(*request) (answer, error) {
		return answer{}, badRequest("InvalidRequestURL", "Http request URL format invalid: there is no operation %s %s.", r.http.Method, r.path)
	}}
}

func (s *Server) routeAccount(r *request) operation {
	switch r.http.Method {
	case http.MethodGet:
		return operation{"GetAccountAttributes", s.getAccountAttributes}
	case http.MethodPut:
		r.parseBody("Account")
		return operation{"SetAccountAttributes", s.setAccountAttributes}
	}
	return s.unknown(r)
}

func (s *Server) routeQueues(r *request, segments []string) operation {
	if len(segments) == 0 && r.http.Method == http.MethodGet {
		return operation{"ListQueue", s.listQueue}
	}
	if len(segments) == 0 || len(segments) > 2 || (len(segments) == 2 && segments[1] != "messages") {
		return s.unknown(r)
	}
	r.queue = segments[0]
	if len(segments) == 2 {
		return s.routeMessages(r)
	}
	return s.routeEntity(r, entity{
		root:   "Queue",
		create: operation{"CreateQueue", s.createQueue},
		set:    operation{"SetQueueAttributes", s.setQueueAttributes},
		get:    operation{"GetQueueAttributes", s.getQueueAttributes},
		remove: operation{"DeleteQueue", s.deleteQueue},
	})
}

// entity is what queues, topics and subscriptions have in common: four operations, and the root element of the documents
// that create and change one.
type entity struct {
	root                     string
	create, set, get, remove operation
}

func (s *Server) routeEntity(r *request, e entity) operation {
	switch r.http.Method {
	case http.MethodPut:
		r.parseBody(e.root)
		if r.overrides() {
			return e.set
		}
		return e.create
	case http.MethodGet:
		return e.get
	case http.MethodDelete:
		return e.remove
	}
	return s.unknown(r)
}

// overrides tells a change of attributes from a creation.
func (r *request) overrides() bool {
	override, err := r.flag("metaoverride")
	if err != nil && r.problem == nil {
		r.problem = err
	}
	return override
}

func (s *Server) routeMessages(r *request) operation {
	switch r.http.Method {
	case http.MethodPost:
		r.parseBody("Message", "Messages")
		if r.document != nil && r.document.name == "Messages" {
			return operation{"BatchSendMessage", s.batchSendMessage}
		}
		return operation{"SendMessage", s.sendMessage}
	case http.MethodGet:
		return s.routeReceive(r)
	case http.MethodPut:
		return operation{"ChangeMessageVisibility", s.changeMessageVisibility}
	case http.MethodDelete:
		if len(r.body) == 0 || has(r.query, "receipthandle") {
			return operation{"DeleteMessage", s.deleteMessage}
		}
		r.parseBody("ReceiptHandles")
		return operation{"BatchDeleteMessage", s.batchDeleteMessage}
	}
	return s.unknown(r)
}

func (s *Server) routeReceive(r *request) operation {
	peek, err := r.flag("peekonly")
	if err != nil && r.problem == nil {
		r.problem = err
	}
	batch := has(r.query, "numofmessages")
	switch {
	case peek && batch:
		return operation{"BatchPeekMessage", s.peekMessage}
	case peek:
		return operation{"PeekMessage", s.peekMessage}
	case batch:
		return operation{"BatchReceiveMessage", s.receiveMessage}
	}
	return operation{"ReceiveMessage", s.receiveMessage}
}

func (s *Server) routeTopics(r *request, segments []string) operation {
	method := r.http.Method
	if len(segments) == 0 && method == http.MethodGet {
		return operation{"ListTopic", s.listTopic}
	}
	if len(segments) == 0 {
		return s.unknown(r)
	}
	r.topic = segments[0]
	switch {
	case len(segments) == 1:
		return s.routeTopic(r)
	case len(segments) == 2 && segments[1] == "messages" && method == http.MethodPost:
		r.parseBody("Message")
		return operation{"PublishMessage", s.publishMessage}
	case len(segments) == 2 && segments[1] == "subscriptions" && method == http.MethodGet:
		return operation{"ListSubscriptionByTopic", s.listSubscriptionByTopic}
	case len(segments) == 3 && segments[1] == "subscriptions":
		r.subscription = segments[2]
		return s.routeSubscription(r)
	}
	return s.unknown(r)
}

func (s *Server) routeTopic(r *request) operation {
	return s.routeEntity(r, entity{
		root:   "Topic",
		create: operation{"CreateTopic", s.createTopic},
		set:    operation{"SetTopicAttributes", s.setTopicAttributes},
		get:    operation{"GetTopicAttributes", s.getTopicAttributes},
		remove: operation{"DeleteTopic", s.deleteTopic},
	})
}

func (s *Server) routeSubscription(r *request) operation {
	return s.routeEntity(r, entity{
		root:   "Subscription",
		create: operation{"Subscribe", s.subscribe},
		set:    operation{"SetSubscriptionAttributes", s.setSubscriptionAttributes},
		get:    operation{"GetSubscriptionAttributes", s.getSubscriptionAttributes},
		remove: operation{"Unsubscribe", s.unsubscribe},
	})
}
