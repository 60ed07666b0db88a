package mnsemu

import "strings"

// operation is one of the protocol's.
type operation struct {
	// action is the protocol's name of it; root is the root element of the document it reads, empty if it reads none.
	action, root string
	// run is called with the lock held.
	run func(*Server, *request) (answer, error)
}

// operations are all, by method and path with a star for each name, and by what else tells them apart: see variant.
func operations() map[string]operation {
	return map[string]operation{
		"GET /?accountmeta":                      {"GetAccountAttributes", "", getAccountAttributes},
		"PUT /?accountmeta":                      {"SetAccountAttributes", "Account", setAccountAttributes},
		"POST /commonbuy/openservice":            {"OpenService", "", openService},
		"GET /queues":                            {"ListQueue", "", listQueue},
		"PUT /queues/*":                          {"CreateQueue", "Queue", createQueue},
		"PUT /queues/* override":                 {"SetQueueAttributes", "Queue", setQueueAttributes},
		"GET /queues/*":                          {"GetQueueAttributes", "", getQueueAttributes},
		"DELETE /queues/*":                       {"DeleteQueue", "", deleteQueue},
		"POST /queues/*/messages":                {"SendMessage", "Message", sendMessage},
		"POST /queues/*/messages batch":          {"BatchSendMessage", "Messages", batchSendMessage},
		"GET /queues/*/messages":                 {"ReceiveMessage", "", receiveMessage},
		"GET /queues/*/messages batch":           {"BatchReceiveMessage", "", receiveMessage},
		"GET /queues/*/messages peek":            {"PeekMessage", "", peekMessage},
		"GET /queues/*/messages peek batch":      {"BatchPeekMessage", "", peekMessage},
		"PUT /queues/*/messages":                 {"ChangeMessageVisibility", "", changeMessageVisibility},
		"DELETE /queues/*/messages":              {"DeleteMessage", "", deleteMessage},
		"DELETE /queues/*/messages batch":        {"BatchDeleteMessage", "ReceiptHandles", batchDeleteMessage},
		"GET /topics":                            {"ListTopic", "", listTopic},
		"PUT /topics/*":                          {"CreateTopic", "Topic", createTopic},
		"PUT /topics/* override":                 {"SetTopicAttributes", "Topic", setTopicAttributes},
		"GET /topics/*":                          {"GetTopicAttributes", "", getTopicAttributes},
		"DELETE /topics/*":                       {"DeleteTopic", "", deleteTopic},
		"POST /topics/*/messages":                {"PublishMessage", "Message", publishMessage},
		"GET /topics/*/subscriptions":            {"ListSubscriptionByTopic", "", listSubscriptionByTopic},
		"PUT /topics/*/subscriptions/*":          {"Subscribe", "Subscription", subscribe},
		"PUT /topics/*/subscriptions/* override": {"SetSubscriptionAttributes", "Subscription", setSubscriptionAttributes},
		"GET /topics/*/subscriptions/*":          {"GetSubscriptionAttributes", "", getSubscriptionAttributes},
		"DELETE /topics/*/subscriptions/*":       {"Unsubscribe", "", unsubscribe},
	}
}

// route finds the operation of a request, and reads the names in its path and the document.
func (s *Server) route(r *request) operation {
	segments := strings.Split(strings.Trim(r.path, "/"), "/")
	name := func(i int, into *string) {
		if len(segments) > i {
			*into, segments[i] = segments[i], "*"
		}
	}
	switch segments[0] {
	case "queues":
		name(1, &r.queue)
	case "topics":
		name(1, &r.topic)
		name(3, &r.subscription)
	}
	shape := r.http.Method + " /" + strings.Join(segments, "/")
	op, found := s.operations[shape+r.variant(shape)]
	if !found {
		return operation{action: "Unknown", run: func(*Server, *request) (answer, error) {
			return answer{}, badRequest("InvalidRequestURL", "Http request URL format invalid: there is no operation %s %s.", r.http.Method, r.path)
		}}
	}
	if op.root == "" {
		return op
	}
	if r.parse(); r.document != nil && r.document.name() != op.root {
		r.problem = invalidArgument("The root element is %s, want %s.", r.document.name(), op.root)
	}
	return op
}

// variant tells operations with the same method and path apart: a change of attributes from a creation, a batch from a single message,
// a peek from a receive.
func (r *request) variant(shape string) (variant string) {
	switch shape {
	case "GET /", "PUT /":
		if r.has("accountmeta") {
			return "?accountmeta"
		}
	case "PUT /queues/*", "PUT /topics/*", "PUT /topics/*/subscriptions/*":
		if r.flag("metaoverride") {
			return " override"
		}
	case "POST /queues/*/messages":
		if r.parse(); r.document != nil && r.document.name() == "Messages" {
			return " batch"
		}
	case "GET /queues/*/messages":
		if r.flag("peekonly") {
			variant = " peek"
		}
		if r.has("numofmessages") {
			variant += " batch"
		}
	case "DELETE /queues/*/messages":
		if len(r.body) > 0 && !r.has("receipthandle") {
			return " batch"
		}
	}
	return variant
}

// has reports whether the request has a query parameter.
func (r *request) has(name string) bool {
	_, present := r.query[strings.ToLower(name)]
	return present
}

// flag is the value of an optional query parameter that is true or false.
func (r *request) flag(name string) bool {
	if !r.has(name) {
		return false
	}
	value, err := parseBoolean(name, r.query[name])
	if err != nil && r.problem == nil {
		r.problem = err
	}
	return value
}

// parse reads the document, once.
func (r *request) parse() {
	if r.document != nil || r.problem != nil {
		return
	}
	var err error
	if r.document, err = parseXML(r.body); err != nil {
		r.problem = badRequest("MalformedXML", "The XML you provided was not well-formed: %v.", err)
	}
}
