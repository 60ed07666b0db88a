package esaemu_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	esa "github.com/alibabacloud-go/esa-20240910/v2/client"
	"github.com/alibabacloud-go/tea/tea"

	"routinely/deploy/local/esaemu"
	"routinely/deploy/local/faults"
)

const source = "export default { fetch() { return new Response('ünï') } }"

// field is one of a form.
type field struct{ name, value string }

// uploadFields are those of the official Go tools for an upload of JavaScript, in their order.
func (b *bench) uploadFields(t *testing.T, name string) (url string, fields []field) {
	t.Helper()
	c := must[*esa.GetRoutineStagingCodeUploadInfoResponse](t)(b.sdk.GetRoutineStagingCodeUploadInfo(&esa.GetRoutineStagingCodeUploadInfoRequest{
		Name: &name, CodeDescription: tea.String("first"),
	})).Body.OssPostConfig
	text := func(name string) string { return fmt.Sprint(c[name]) }
	for _, name := range []string{"OSSAccessKeyId", "Signature", "callback", "x:codeDescription", "policy", "key"} {
		fields = append(fields, field{name, text(name)})
	}
	if token := text("XOssSecurityToken"); token != "" {
		fields = append(fields, field{"x-oss-security-token", token})
	}
	return text("Url"), fields
}

// postForm sends a form and returns the status and, of a refusal, its code.
func postForm(t *testing.T, url string, fields []field, file string) (status int, code string) {
	t.Helper()
	body := new(bytes.Buffer)
	form := multipart.NewWriter(body)
	for _, f := range fields {
		if f.name == "file" {
			_, err := io.WriteString(must[io.Writer](t)(form.CreateFormFile("file", "index.js")), file)
			do(t, err)
			continue
		}
		do(t, form.WriteField(f.name, f.value))
	}
	do(t, form.Close())
	answer := must[*http.Response](t)(http.Post(url, form.FormDataContentType(), body))
	defer answer.Body.Close()
	raw := must[[]byte](t)(io.ReadAll(answer.Body))
	var refused struct{ Code string }
	if answer.StatusCode >= 300 {
		do(t, xml.Unmarshal(raw, &refused))
	}
	http.DefaultClient.CloseIdleConnections()
	return answer.StatusCode, refused.Code
}

func (b *bench) upload(t *testing.T, name, code string) {
	t.Helper()
	url, fields := b.uploadFields(t, name)
	status, refused := postForm(t, url, append(fields, field{"file", ""}), code)
	same(t, "upload", []any{status, refused}, []any{200, ""})
}

func (b *bench) commit(t *testing.T, name, description string) string {
	t.Helper()
	return tea.StringValue(must[*esa.CommitRoutineStagingCodeResponse](t)(b.sdk.CommitRoutineStagingCode(&esa.CommitRoutineStagingCodeRequest{
		Name: &name, CodeDescription: &description,
	})).Body.CodeVersion)
}

// version uploads code and commits it.
func (b *bench) version(t *testing.T, name, code, description string) string {
	t.Helper()
	b.upload(t, name, code)
	return b.commit(t, name, description)
}

func (b *bench) deploy(name, env string, shares ...*esa.CreateRoutineCodeDeploymentRequestCodeVersions) error {
	_, err := b.sdk.CreateRoutineCodeDeployment(&esa.CreateRoutineCodeDeploymentRequest{
		Name: &name, Env: &env, Strategy: tea.String("percentage"), CodeVersions: shares,
	})
	return err
}

func share(version string, percentage int64) *esa.CreateRoutineCodeDeploymentRequestCodeVersions {
	return &esa.CreateRoutineCodeDeploymentRequestCodeVersions{CodeVersion: &version, Percentage: &percentage}
}

func (b *bench) versions(t *testing.T, r *esa.ListRoutineCodeVersionsRequest) (out []string) {
	t.Helper()
	for _, v := range must[*esa.ListRoutineCodeVersionsResponse](t)(b.sdk.ListRoutineCodeVersions(r)).Body.CodeVersions {
		same(t, "status", tea.StringValue(v.Status), "Available")
		out = append(out, tea.StringValue(v.CodeVersion)+" "+tea.StringValue(v.CodeDescription))
	}
	return out
}

func TestCode(t *testing.T) {
	t.Run("is uploaded, committed, read back, deployed, and shown as live", func(t *testing.T) {
		b := start(t)
		want(t, "create", b.createRoutine("web"), "")
		v := b.version(t, "web", source, "first")
		got := must[*esa.GetRoutineCodeVersionResponse](t)(b.sdk.GetRoutineCodeVersion(&esa.GetRoutineCodeVersionRequest{Name: tea.String("web"), CodeVersion: &v})).Body
		same(t, "code", string(must[[]byte](t)(base64.StdEncoding.DecodeString(tea.StringValue(got.RoutineCode)))), source)
		same(t, "description and time", []string{tea.StringValue(got.CodeDescription), tea.StringValue(got.CreateTime)},
			[]string{"first", b.clock.Now().UTC().Format(time.RFC3339)})
		for _, env := range []string{"staging", "production"} {
			want(t, env, b.deploy("web", env, share(v, 100)), "")
		}
		envs := must[*esa.GetRoutineResponse](t)(b.sdk.GetRoutine(&esa.GetRoutineRequest{Name: tea.String("web")})).Body.Envs
		for i, env := range []string{"production", "staging"} {
			live := envs[i].CodeDeploy.CodeVersions
			same(t, "live", []any{tea.StringValue(envs[i].Env), len(live), tea.StringValue(live[0].CodeVersion), tea.Int64Value(live[0].Percentage)}, []any{env, 1, v, int64(100)})
		}
		state := must[esaemu.State](t)(b.State()).Routines[0]
		sum := sha256.Sum256([]byte(source))
		same(t, "state", []any{state.Versions[0].SHA256, len(state.Deployments)}, []any{hex.EncodeToString(sum[:]), 2})
		want(t, "delete the routine", b.call("DeleteRoutine", "Name", "web"), "")
		want(t, "make it again", b.createRoutine("web"), "")
		same(t, "versions of the new one", b.versions(t, &esa.ListRoutineCodeVersionsRequest{Name: tea.String("web")}), []string(nil))
		want(t, "commit without an upload", b.call("CommitRoutineStagingCode", "Name", "web"), "InvalidParameter")
	})

	t.Run("has versions of 19 digits, the newest first, found by their description", func(t *testing.T) {
		b := start(t)
		want(t, "create", b.createRoutine("web"), "")
		first, second := b.version(t, "web", source, "first"), b.version(t, "web", source, "second") // the clock stands still
		if len(first) != 19 || first >= second {
			t.Errorf("versions %s and %s: want 19 digits, rising", first, second)
		}
		same(t, "all", b.versions(t, &esa.ListRoutineCodeVersionsRequest{Name: tea.String("web")}), []string{second + " second", first + " first"})
		same(t, "found", b.versions(t, &esa.ListRoutineCodeVersionsRequest{Name: tea.String("web"), SearchKeyWord: tea.String("IRS")}), []string{first + " first"})
		same(t, "second page", b.versions(t, &esa.ListRoutineCodeVersionsRequest{Name: tea.String("web"), PageSize: tea.Int64(1), PageNumber: tea.Int64(2)}), []string{first + " first"})
		want(t, "third page", b.call("ListRoutineCodeVersions", "Name", "web", "PageNumber", "3"), "InvalidParameter")
	})

	t.Run("has as many versions as the plan allows, and those that are deployed stay", func(t *testing.T) {
		c := config(t.TempDir())
		c.Plan = esaemu.Free
		b := open(t, c)
		want(t, "create", b.createRoutine("web"), "")
		var made []string
		for range 5 {
			made = append(made, b.version(t, "web", source, ""))
		}
		plan := must[*esa.ListEdgeRoutinePlansResponse](t)(b.sdk.ListEdgeRoutinePlans()).Body.PlanInfo[0]
		same(t, "quota", tea.StringValue(plan.ErRoutineCodeVersionQuota), "5")
		b.upload(t, "web", source)
		want(t, "a sixth", b.call("CommitRoutineStagingCode", "Name", "web"), "CodeVersionNumberExceedQuotaLimit")
		want(t, "publish", b.call("PublishRoutineCodeVersion", "Name", "web", "Env", "production", "CodeVersion", made[1]), "")
		want(t, "delete the live one", b.call("DeleteRoutineCodeVersion", "Name", "web", "CodeVersion", made[1]), "DependedByOthers")
		want(t, "delete another", b.call("DeleteRoutineCodeVersion", "Name", "web", "CodeVersion", made[0]), "")
		want(t, "delete it again", b.call("DeleteRoutineCodeVersion", "Name", "web", "CodeVersion", made[0]), "InvalidParameter")
		b.commit(t, "web", "")
	})

	t.Run("is deployed as one or two versions that exist, 100 percent together", func(t *testing.T) {
		b := start(t)
		want(t, "create", b.createRoutine("web"), "")
		v, w := b.version(t, "web", source, ""), b.version(t, "web", source, "")
		want(t, "two", b.deploy("web", "staging", share(v, 30), share(w, 70)), "")
		for name, shares := range map[string][]*esa.CreateRoutineCodeDeploymentRequestCodeVersions{
			"none": {}, "one half": {share(v, 50)}, "nothing": {share(v, 100), share(w, 0)}, "too much": {share(v, 60), share(w, 60)}, "twice the same": {share(v, 50), share(v, 50)},
			"unknown": {share("1", 100)}, "three": {share(v, 40), share(w, 40), share("1", 20)},
		} {
			want(t, name, b.deploy("web", "staging", shares...), "InvalidParameter")
		}
		want(t, "environment", b.deploy("web", "test", share(v, 100)), "InvalidParameter")
		want(t, "routine", b.deploy("api", "staging", share(v, 100)), "RoutineNotExist")
		want(t, "strategy", b.call("CreateRoutineCodeDeployment", "Name", "web", "Env", "staging", "Strategy", "all", "CodeVersions", "[]"), "InvalidParameter")
		want(t, "publish", b.call("PublishRoutineCodeVersion", "Name", "web", "Env", "production", "CodeVersion", "1"), "ParameterNotExist")
	})

	t.Run("with assets waits for its archive", func(t *testing.T) {
		b := start(t)
		want(t, "create", b.createRoutine("web"), "")
		made := must[*esa.CreateRoutineWithAssetsCodeVersionResponse](t)(b.sdk.CreateRoutineWithAssetsCodeVersion(&esa.CreateRoutineWithAssetsCodeVersionRequest{
			Name: tea.String("web"), ConfOptions: &esa.CreateRoutineWithAssetsCodeVersionRequestConfOptions{NotFoundStrategy: tea.String("SinglePageApplication")},
		})).Body
		v := tea.StringValue(made.CodeVersion)
		same(t, "status", tea.StringValue(made.Status), "Init")
		want(t, "deploy before", b.deploy("web", "production", share(v, 100)), "InvalidParameter")
		c := made.OssPostConfig
		fields := []field{
			{"OSSAccessKeyId", tea.StringValue(c.OSSAccessKeyId)},
			{"Signature", tea.StringValue(c.Signature)},
			{"policy", tea.StringValue(c.Policy)},
			{"key", tea.StringValue(c.Key)},
			{"file", ""},
		}
		status, code := postForm(t, tea.StringValue(c.Url), fields, "PK")
		same(t, "without its token", []any{status, code}, []any{403, "InvalidAccessKeyId"})
		status, _ = postForm(t, tea.StringValue(c.Url), append([]field{{"x-oss-security-token", tea.StringValue(c.XOssSecurityToken)}}, fields...), "PK")
		same(t, "upload", status, 204)
		want(t, "info", b.call("GetRoutineCodeVersionInfo", "Name", "web", "CodeVersion", v), "")
		want(t, "deploy", b.deploy("web", "production", share(v, 100)), "")
	})

	t.Run("is one routine's one place: who uploads last is committed", func(t *testing.T) {
		b := start(t)
		want(t, "create", b.createRoutine("web"), "")
		b.upload(t, "web", source)
		do(t, b.PlantUpload("web", []byte("another's")))
		v := b.commit(t, "web", "mine")
		got := must[*esa.GetRoutineCodeVersionResponse](t)(b.sdk.GetRoutineCodeVersion(&esa.GetRoutineCodeVersionRequest{Name: tea.String("web"), CodeVersion: &v})).Body
		same(t, "code", tea.StringValue(got.RoutineCode), base64.StdEncoding.EncodeToString([]byte("another's")))
		foreign := must[string](t)(b.PlantVersion("web", "theirs", []byte("x"), "production"))
		same(t, "versions", b.versions(t, &esa.ListRoutineCodeVersionsRequest{Name: tea.String("web")}), []string{foreign + " theirs", v + " mine"})
	})
}

func TestUploads(t *testing.T) {
	b := start(t)
	want(t, "create", b.createRoutine("web"), "")
	url, good := b.uploadFields(t, "web")
	good = append(good, field{"file", ""})
	changed := func(name, value string) []field {
		out := slices.Clone(good)
		out[slices.IndexFunc(out, func(f field) bool { return f.name == name })].value = value
		return out
	}
	without := func(name string) []field {
		return slices.DeleteFunc(slices.Clone(good), func(f field) bool { return f.name == name })
	}
	refused := func(t *testing.T, fields []field, file string, status int, code string) {
		t.Helper()
		gotStatus, gotCode := postForm(t, url, fields, file)
		same(t, "answer", []any{gotStatus, gotCode}, []any{status, code})
	}
	t.Run("are answered 204 without a callback, or what the form asks for", func(t *testing.T) {
		refused(t, without("callback"), source, 204, "")
		refused(t, append([]field{{"success_action_status", "200"}}, without("callback")...), source, 200, "")
	})
	t.Run("take the description in any case", func(t *testing.T) {
		fields := slices.Clone(good)
		for i := range fields {
			fields[i].name = strings.Replace(fields[i].name, "x:codeDescription", "x:codedescription", 1)
		}
		refused(t, fields, source, 200, "")
	})
	t.Run("need every field before the file", func(t *testing.T) {
		for _, name := range []string{"OSSAccessKeyId", "Signature", "policy", "key"} {
			refused(t, without(name), source, 403, "AccessDenied")
			refused(t, append(without(name), field{name, changed(name, "")[0].value}), source, 403, "AccessDenied")
		}
		refused(t, without("file"), "", 400, "MalformedPOSTRequest")
	})
	t.Run("need the key, the signature and the policy that were given", func(t *testing.T) {
		refused(t, changed("OSSAccessKeyId", "LTAI"), source, 403, "InvalidAccessKeyId")
		refused(t, changed("Signature", "c2ln"), source, 403, "SignatureDoesNotMatch")
		refused(t, changed("policy", base64.StdEncoding.EncodeToString([]byte("{}"))), source, 403, "SignatureDoesNotMatch")
		for _, key := range []string{"index.js", "sp_esa_rwa/123456/other/unstable/routine/index.js"} {
			refused(t, changed("key", key), source, 403, "AccessDenied")
		}
	})
	t.Run("are 1 byte to 5 MiB long", func(t *testing.T) {
		refused(t, good, "", 400, "EntityTooSmall")
		refused(t, good, strings.Repeat("x", 5<<20), 200, "")
		refused(t, good, strings.Repeat("x", 5<<20+1), 400, "EntityTooLarge")
	})
	t.Run("are no other requests, and forms alone", func(t *testing.T) {
		answer := must[*http.Response](t)(b.http.Client().Get(url))
		answer.Body.Close()
		same(t, "GET", answer.StatusCode, 405)
		answer = must[*http.Response](t)(b.http.Client().Post(url, "application/javascript", strings.NewReader(source)))
		answer.Body.Close()
		same(t, "no form", answer.StatusCode, 400)
	})
	t.Run("need a security token where one was given", func(t *testing.T) {
		do(t, b.SetAccount(esaemu.AccountChange{UploadToken: tea.Bool(true)}))
		refused(t, good, source, 403, "InvalidAccessKeyId")
		b.upload(t, "web", source)
		do(t, b.SetAccount(esaemu.AccountChange{UploadToken: tea.Bool(false)}))
	})
	t.Run("fail as scripted", func(t *testing.T) {
		_ = must[string](t)(b.Faults().Add(faults.Rule{Action: "PostObject", Fault: faults.Fault{
			Answer: faults.Document, Status: 203, Body: "<Error><Code>CallbackFailed</Code></Error>", Execute: true,
		}}))
		refused(t, good, source, 203, "")
		_ = must[string](t)(b.Faults().Add(faults.Rule{Action: "PostObject", Fault: faults.Fault{Answer: faults.Error, Status: 403, Code: "AccessDenied"}}))
		refused(t, good, source, 403, "AccessDenied")
	})
	t.Run("are allowed for five minutes", func(t *testing.T) {
		b.clock.Advance(5 * time.Minute)
		refused(t, good, source, 403, "AccessDenied")
	})
}
