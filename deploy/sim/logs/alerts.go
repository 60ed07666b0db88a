package logs

import (
	"crypto/hmac"
	"crypto/md5"  // the API's own checksum of bodies
	"crypto/sha1" // the API's own signature
	"encoding/base64"
	"encoding/hex"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
)

func (s *Server) createAlert(body Document) (Document, *refusal) {
	name, _ := body["name"].(string)
	if _, there := s.Alerts[name]; there {
		return nil, &refusal{http.StatusBadRequest, "JobAlreadyExist", "alert " + name + " already exists"}
	}
	if !nameRule.MatchString(name) {
		return nil, invalid("name")
	}
	if wrong := s.checkAlert(body, "name"); wrong != "" {
		return nil, invalid(wrong)
	}
	s.Alerts[name] = maps.Clone(body)
	s.Alerts[name]["status"] = "ENABLED"
	return nil, nil
}

func (s *Server) alert(name, verb string, body Document) (Document, *refusal) {
	have, there := s.Alerts[name]
	switch {
	case !there:
		return nil, &refusal{http.StatusNotFound, "JobNotExist", "alert " + name + " does not exist"}
	case verb == "Get":
		out := full(have)
		out["createTime"] = 1
		return out, nil
	}
	if wrong := s.checkAlert(body); wrong != "" {
		return nil, invalid(wrong)
	}
	for member, value := range body {
		have[member] = value
	}
	return nil, nil
}

// full is a document without what is empty, as an answer may be.
func full(given Document) Document {
	out := Document{}
	for name, value := range given {
		inner, ok := value.(Document)
		list, isList := value.([]any)
		switch {
		case ok:
			out[name] = full(inner)
		case value != "" && value != false && (!isList || len(list) > 0):
			out[name] = value
		}
	}
	return out
}

var (
	interval = regexp.MustCompile(`^[1-9][0-9]*[smhd]$`)
	start    = regexp.MustCompile(`^-[1-9][0-9]*[smhd]$`)
)

// configurationMembers are those of an alert rule's configuration.
var configurationMembers = []string{
	"annotations", "autoAnnotation", "conditionConfiguration", "dashboard", "groupConfiguration", "joinConfigurations", "labels", "muteUntil", "noDataFire",
	"noDataSeverity", "policyConfiguration", "queryList", "sendResolved", "severityConfigurations", "sinkAlerthub", "sinkCms", "sinkEventStore", "tags",
	"templateConfiguration", "threshold", "type", "version",
}

// checkAlert says what is wrong with an alert rule; empty if nothing is.
func (s *Server) checkAlert(body Document, more ...string) string {
	schedule, _ := body["schedule"].(Document)
	configuration, _ := body["configuration"].(Document)
	title, _ := body["displayName"].(string)
	every, _ := schedule["interval"].(string)
	queries, _ := configuration["queryList"].([]any)
	severities, _ := configuration["severityConfigurations"].([]any)
	policy, _ := configuration["policyConfiguration"].(Document)
	group, _ := configuration["groupConfiguration"].(Document)
	wrong := others(body, append(more, "displayName", "description", "schedule", "configuration")...) + others(configuration, configurationMembers...) +
		others(policy, "alertPolicyId", "actionPolicyId", "repeatInterval") + others(group, "type", "fields")
	switch {
	case wrong != "":
		return wrong
	case len([]rune(title)) < 1 || len([]rune(title)) > 64:
		return "displayName has 1 to 64 characters"
	case schedule["type"] != "FixedRate" || !interval.MatchString(every):
		return "schedule"
	case configuration["version"] != "2.0" || configuration["type"] != "default":
		return "version and type"
	case len(queries) < 1 || len(queries) > 3 || len(severities) == 0:
		return "queryList has 1 to 3 queries, and there is a severity"
	}
	for _, one := range queries {
		query, _ := one.(Document)
		from, _ := query["start"].(string)
		_, text := query["query"].(string)
		wrong := others(query, "storeType", "region", "project", "store", "query", "timeSpanType", "start", "end", "powerSqlMode", "chartTitle", "roleArn", "ui", "dashboardId")
		if wrong != "" || query["storeType"] != "log" || query["project"] != s.Project || query["store"] != s.Store || !text || !start.MatchString(from) {
			return "a query: " + wrong
		}
	}
	for _, one := range severities {
		severity, _ := one.(Document)
		condition, _ := severity["evalCondition"].(Document)
		if !slices.Contains([]any{10.0, 8.0, 6.0, 4.0, 2.0}, severity["severity"]) || others(condition, "condition", "countCondition") != "" {
			return "a severity"
		}
	}
	return ""
}

// verify checks who signed a request, and that the signature covers its method, its body, its time and its path (page "Request signatures").
func (s *Server) verify(r *http.Request, body []byte) *refusal {
	unauthorized := func(code, message string) *refusal { return &refusal{http.StatusUnauthorized, code, message} }
	given, _ := strings.CutPrefix(r.Header.Get("Authorization"), "LOG ")
	id, signature, _ := strings.Cut(given, ":")
	sum := md5.Sum(body)
	switch {
	case r.Header.Get("X-Log-Apiversion") != "0.6.0" || r.Header.Get("X-Log-Signaturemethod") != "hmac-sha1" || r.Header.Get("Date") == "":
		return &refusal{http.StatusBadRequest, "InvalidParameter", "a header of the protocol is missing"}
	case id != s.KeyID:
		return unauthorized("Unauthorized", "AccessKeyId not found: "+id)
	case len(body) > 0 && r.Header.Get("Content-Md5") != strings.ToUpper(hex.EncodeToString(sum[:])):
		return &refusal{http.StatusBadRequest, "PostBodyInvalid", "the checksum differs"}
	}
	text := r.Method + "\n" + r.Header.Get("Content-Md5") + "\n" + r.Header.Get("Content-Type") + "\n" + r.Header.Get("Date") + "\n"
	for _, name := range slices.Sorted(maps.Keys(r.Header)) {
		if lower := strings.ToLower(name); strings.HasPrefix(lower, "x-log-") || strings.HasPrefix(lower, "x-acs-") {
			text += lower + ":" + r.Header.Get(name) + "\n"
		}
	}
	mac := hmac.New(sha1.New, []byte(s.KeySecret))
	mac.Write([]byte(text + r.URL.Path))
	if !hmac.Equal([]byte(base64.StdEncoding.EncodeToString(mac.Sum(nil))), []byte(signature)) {
		return unauthorized("SignatureNotMatch", "signature "+signature+" not match")
	}
	return nil
}
