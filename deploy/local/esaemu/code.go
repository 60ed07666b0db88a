package esaemu

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strconv"
	"time"
)

// Version is one version of a routine's code.
type Version struct {
	// CodeVersion is its identity: the moment of its making in Unix nanoseconds, which are 19 digits. No two are the same in an account.
	CodeVersion string `json:"codeVersion"`
	// CodeDescription is echoed exactly as it was given.
	CodeDescription string `json:"codeDescription"`
	// CreateTime is in UTC; answers show its whole seconds.
	CreateTime time.Time `json:"createTime"`
	// Status is Available, or Init while the archive of its assets was not uploaded.
	Status string `json:"status"`
	// HasAssets is whether the code is a zip of routine and assets; otherwise it is JavaScript.
	HasAssets bool `json:"hasAssets,omitempty"`
	// ExtraInfo, ConfOptions and BuildID are what CreateRoutineWithAssetsCodeVersion was given; the first two are JSON texts.
	ExtraInfo   string `json:"extraInfo,omitempty"`
	ConfOptions string `json:"confOptions,omitempty"`
	BuildID     int64  `json:"buildId,omitempty"`
	// Code is what was uploaded; State leaves it out.
	Code []byte `json:"code,omitempty"`
	// SHA256 is the hash of Code in hexadecimal digits; only State fills it.
	SHA256 string `json:"sha256,omitempty"`
}

// Deployment is what answers in one environment of a routine. A later one takes its place; none is ever taken back.
type Deployment struct {
	// Env is staging or production.
	Env string `json:"env"`
	// DeployID is made as a CodeVersion is.
	DeployID string `json:"deployId"`
	// CreationTime is in UTC; answers show its whole seconds.
	CreationTime time.Time `json:"creationTime"`
	// Shares are one or two versions.
	Shares []Share `json:"shares"`
}

// Share is a version's part of the requests, in percent.
type Share struct {
	CodeVersion string `json:"CodeVersion"`
	Percentage  int    `json:"Percentage"`
}

// The states of a version.
const (
	versionInit      = "Init"
	versionAvailable = "Available"
)

// environments are those of every routine, in the order of recorded answers.
func environments() []string { return []string{"production", "staging"} }

// ofRoutine is the beginning of the keys of a routine's versions and deployments.
func ofRoutine(name string) []byte { return append([]byte(name), 0) }

func versionKey(name, version string) []byte { return append(ofRoutine(name), version...) }

// nextMoment is the present in Unix nanoseconds, or one more than the last such number.
func (t *tx) nextMoment(now time.Time) string {
	last := t.bucket(bucketVersions).Sequence()
	next := max(uint64(now.UnixNano()), last+1)
	t.fail(t.bucket(bucketVersions).SetSequence(next))
	return strconv.FormatUint(next, 10)
}

// versionsOf lists a routine's versions, the newest first.
func (t *tx) versionsOf(name string) []Version {
	out := []Version{}
	for _, key := range t.keys(bucketVersions, ofRoutine(name)) {
		v, _ := get[Version](t, bucketVersions, versionKey(name, string(key)))
		out = append(out, v)
	}
	slices.Reverse(out)
	return out
}

// version reads a version that was named. The tables of errors name no code for one that is not there; the closest is that of a bad parameter.
func (t *tx) version(name, version string) Version {
	v, found := get[Version](t, bucketVersions, versionKey(name, version))
	if !found {
		t.refuse(codeInvalidParameter, "routine %q has no version %q", name, version)
	}
	return v
}

// addVersion makes a version, unless the routine has as many as the plan allows.
func (t *tx) addVersion(name string, v Version, now time.Time) Version {
	if there, quota := len(t.keys(bucketVersions, ofRoutine(name))), t.standing().VersionQuota; there >= quota {
		t.refuse(codeVersionQuota, "routine %q has %d versions of %d", name, there, quota)
	}
	v.CodeVersion, v.CreateTime = t.nextMoment(now), now
	t.put(bucketVersions, versionKey(name, v.CodeVersion), v)
	return v
}

// deploymentsOf lists what is deployed, in the order of environments.
func (t *tx) deploymentsOf(name string) (out []Deployment) {
	for _, env := range environments() {
		if d, found := get[Deployment](t, bucketDeployments, versionKey(name, env)); found {
			out = append(out, d)
		}
	}
	return out
}

func (t *tx) deploy(name, env string, shares []Share, now time.Time) Deployment {
	for _, one := range shares {
		if v := t.version(name, one.CodeVersion); v.Status != versionAvailable {
			t.refuse(codeInvalidParameter, "version %s is %s", v.CodeVersion, v.Status)
		}
	}
	d := Deployment{Env: env, DeployID: t.nextMoment(now), CreationTime: now, Shares: shares}
	t.put(bucketDeployments, versionKey(name, env), d)
	return d
}

// removeCode deletes what a routine has of code, with the routine.
func (t *tx) removeCode(name string) {
	for _, bucket := range []string{bucketVersions, bucketDeployments} {
		for _, key := range t.keys(bucket, ofRoutine(name)) {
			t.remove(bucket, append(ofRoutine(name), key...))
		}
	}
	t.remove(bucketUploads, []byte(name))
}

func (s *Server) listCodeVersions(p *params) step {
	const maxPage, sizeCap = 2, 20
	page, keyword := p.page(maxPage, sizeCap), p.values["SearchKeyWord"]
	return withRoutine(p, func(t *tx, r Routine) answer {
		found := []answer{}
		for _, v := range t.versionsOf(r.Name) {
			if like(v.CodeDescription, keyword) {
				found = append(found, v.fields())
			}
		}
		return page.answer("CodeVersions", found)
	})
}

func (v Version) fields() answer {
	out := answer{
		"CodeVersion": v.CodeVersion, "CodeDescription": v.CodeDescription, "CreateTime": v.CreateTime.Format(time.RFC3339), "Status": v.Status,
		"ExtraInfo": v.ExtraInfo, "BuildId": v.BuildID,
	}
	if v.ConfOptions != "" {
		out["ConfOptions"] = json.RawMessage(v.ConfOptions)
	}
	return out
}

// getCodeVersion does not repeat the number, nor say the status.
func (s *Server) getCodeVersion(p *params) step {
	return withVersion(p, func(_ *tx, _ Routine, v Version) answer {
		return answer{
			"CodeDescription": v.CodeDescription, "CreateTime": v.CreateTime.Format(time.RFC3339), "RoutineCode": base64.StdEncoding.EncodeToString(v.Code),
		}
	})
}

func (s *Server) getCodeVersionInfo(p *params) step {
	return withVersion(p, func(_ *tx, _ Routine, v Version) answer {
		out := v.fields()
		out["HasAssets"] = v.HasAssets
		return out
	})
}

// deleteCodeVersion refuses a version that is deployed. What the cloud answers then is not known: this is the code that fits.
func (s *Server) deleteCodeVersion(p *params) step {
	return withVersion(p, func(t *tx, r Routine, v Version) answer {
		t.writable()
		t.removeVersion(r.Name, v.CodeVersion)
		return ok()
	})
}

func (t *tx) removeVersion(name, version string) {
	for _, d := range t.deploymentsOf(name) {
		if slices.ContainsFunc(d.Shares, func(one Share) bool { return one.CodeVersion == version }) {
			t.refuse(codeDepended, "version %s is deployed to %s", version, d.Env)
		}
	}
	t.remove(bucketVersions, versionKey(name, version))
}

// withVersion is a step on the version called CodeVersion of the routine called Name.
func withVersion(p *params, do func(*tx, Routine, Version) answer) step {
	version := p.text("CodeVersion")
	return withRoutine(p, func(t *tx, r Routine) answer { return do(t, r, t.version(r.Name, version)) })
}

// publish deploys one version. Of a version that is not there the operation has a code of its own.
func (s *Server) publish(p *params) step {
	env, version := p.environment(), p.text("CodeVersion")
	return withRoutine(p, func(t *tx, r Routine) answer {
		t.writable()
		if t.bucket(bucketVersions).Get(versionKey(r.Name, version)) == nil {
			t.refuse(codeParameterNotExist, "routine %q has no version %q", r.Name, version)
		}
		t.deploy(r.Name, env, []Share{{version, 100}}, s.now())
		return answer{"CodeVersion": version}
	})
}

func (s *Server) createDeployment(p *params) step {
	env := p.environment()
	if strategy := p.text("Strategy"); strategy != "percentage" {
		p.refuse(codeInvalidParameter, "Strategy %q: want percentage", strategy)
	}
	shares := p.shares()
	return withRoutine(p, func(t *tx, r Routine) answer {
		t.writable()
		d := t.deploy(r.Name, env, shares, s.now())
		return answer{"DeploymentId": d.DeployID, "Strategy": "percentage", "CodeVersions": d.Shares}
	})
}

// environment reads the parameter Env.
func (p *params) environment() string {
	env := p.text("Env")
	if !slices.Contains(environments(), env) {
		p.refuse(codeInvalidParameter, "Env %q: want staging or production", env)
	}
	return env
}

// shares reads the parameter CodeVersions: one or two versions, together 100 percent.
func (p *params) shares() (out []Share) {
	text := p.text("CodeVersions")
	decoder := json.NewDecoder(bytes.NewReader([]byte(text)))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&out); err != nil {
		p.refuse(codeInvalidParameter, "CodeVersions: %v", err)
		return nil
	}
	sum := 0
	for _, one := range out {
		sum += one.Percentage
		if one.CodeVersion == "" || one.Percentage < 1 {
			p.refuse(codeInvalidParameter, "CodeVersions %s: want a CodeVersion and a Percentage from 1 to 100", text)
		}
	}
	if len(out) < 1 || len(out) > 2 || sum != 100 || len(out) == 2 && out[0].CodeVersion == out[1].CodeVersion {
		p.refuse(codeInvalidParameter, "CodeVersions %s: want one or two versions, 100 percent together", text)
	}
	return out
}

// environment is what GetRoutine says of an environment. The numbers beside CodeDeploy are in recorded answers, and in no document.
func (t *tx) environment(name, env string) answer {
	d, found := get[Deployment](t, bucketDeployments, versionKey(name, env))
	if !found {
		return answer{"Env": env, "CodeDeploy": answer{"CodeVersions": []answer{}}}
	}
	shares := []answer{}
	for _, one := range d.Shares {
		v := t.version(name, one.CodeVersion)
		shares = append(shares, answer{
			"CodeVersion": v.CodeVersion, "Percentage": one.Percentage, "CreateTime": v.CreateTime.Format(time.RFC3339), "Description": v.CodeDescription,
		})
	}
	canary := ""
	if len(d.Shares) > 1 {
		canary = d.Shares[1].CodeVersion
	}
	return answer{
		"Env": env, "CodeVersion": d.Shares[0].CodeVersion, "CanaryCodeVersion": canary,
		"CodeDeploy": answer{
			"DeployId": d.DeployID, "Strategy": "percentage", "CreationTime": d.CreationTime.Format(time.RFC3339), "CodeVersions": shares,
		},
	}
}

// stateOfCode is what State shows of a routine's code.
func (t *tx) stateOfCode(r *Routine) {
	r.Versions, r.Deployments = t.versionsOf(r.Name), t.deploymentsOf(r.Name)
	for i := range r.Versions {
		sum := sha256.Sum256(r.Versions[i].Code)
		r.Versions[i].Code, r.Versions[i].SHA256 = nil, hex.EncodeToString(sum[:])
	}
}

// listPlans lists the plan that the account has, as the page's sample does.
func (s *Server) listPlans(*params) step {
	return func(t *tx) answer {
		a := t.standing()
		billing, method := "PREPAY", "er_free"
		if a.Plan == Paid {
			billing, method = "POSTPAY", "er_pay"
		}
		return answer{"PlanInfo": []answer{{
			"PlanName": a.Plan.name(), "BillingMode": billing, "PaymentMethod": method,
			"ErRoutineQuota": strconv.Itoa(a.RoutineQuota), "ErRoutineCodeVersionQuota": strconv.Itoa(a.VersionQuota),
			"ErRoutineRouteSiteCountQuota": strconv.Itoa(a.SiteQuota),
		}}}
	}
}
