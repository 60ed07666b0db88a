package esa

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"mime/multipart"
	"net/http"
	"strconv"
	"time"

	openapiutil "github.com/alibabacloud-go/darabonba-openapi/v2/utils"
	sdk "github.com/alibabacloud-go/esa-20240910/v2/client"
	"github.com/alibabacloud-go/tea/dara"
)

// Environment is a place where a version of a routine's code answers.
type Environment = string

// The environments that every routine has.
const (
	Staging    Environment = "staging"
	Production Environment = "production"
)

// CodeVersion is a version of a routine's code as a list shows it.
type CodeVersion struct {
	// Number is its identity, a text of 19 digits: the moment of its making in Unix nanoseconds.
	Number string
	// Description is what it was committed with.
	Description string
	// CreateTime is in whole seconds, in UTC; zero where ESA's text is not RFC 3339.
	CreateTime time.Time
	// Status is VersionAvailable, or why it cannot be deployed.
	Status string
}

// VersionAvailable is the status of a version that can be deployed.
const VersionAvailable = "Available"

// CodeVersionQuota answers a commit for a routine that has as many versions as the plan allows.
const CodeVersionQuota = "CodeVersionNumberExceedQuotaLimit"

// maxVersionPages is the last page that ListRoutineCodeVersions gives (documented range 1 to 2).
const maxVersionPages = 2

// UploadCode puts JavaScript into the routine's one place for code, where it takes the place of what lies there. It makes no version, so it may be
// repeated. The place is everybody's: whoever uploads next takes it over.
func (c *Client) UploadCode(ctx context.Context, name string, code []byte) error {
	form, err := c.uploadForm(ctx, name)
	if err != nil {
		return err
	}
	return c.post(ctx, form, code)
}

// uploadForm asks where code is to be posted, with what beside it.
func (c *Client) uploadForm(ctx context.Context, name string) (form map[string]string, err error) {
	err = c.call(ctx, "GetRoutineStagingCodeUploadInfo", func(ctx context.Context) error {
		res, err := c.sdk.GetRoutineStagingCodeUploadInfoWithContext(ctx, &sdk.GetRoutineStagingCodeUploadInfoRequest{Name: &name}, &dara.RuntimeOptions{})
		if err != nil {
			return err
		}
		if res.Body == nil {
			return unusable("no OssPostConfig in the answer")
		}
		form = map[string]string{}
		for field, value := range res.Body.OssPostConfig {
			form[field], _ = value.(string)
		}
		for _, required := range []string{"Url", "OSSAccessKeyId", "Signature", "policy", "key"} {
			if form[required] == "" {
				return unusable("no " + required + " in the OssPostConfig of the answer")
			}
		}
		return nil
	})
	return form, err
}

// CommitCode makes a version of what was uploaded last, by whomever, and returns its number. There is no idempotency key: who lost the answer lists the versions.
func (c *Client) CommitCode(ctx context.Context, name, description string) (number string, err error) {
	err = c.call(ctx, "CommitRoutineStagingCode", func(ctx context.Context) error {
		res, err := c.sdk.CommitRoutineStagingCodeWithContext(ctx, &sdk.CommitRoutineStagingCodeRequest{
			Name: &name, CodeDescription: &description,
		}, &dara.RuntimeOptions{})
		if err != nil {
			return err
		}
		if res.Body == nil || dara.StringValue(res.Body.CodeVersion) == "" {
			return unusable("no CodeVersion in the answer")
		}
		number = *res.Body.CodeVersion
		return nil
	})
	return number, err
}

// CodeVersions lists all versions of the routine's code, the newest first. It never returns a part of them: if ESA's pages do not add up, the fault
// has the code IncompleteList. ESA shows 40 at most, twice the paid plan's quota.
func (c *Client) CodeVersions(ctx context.Context, name string) ([]CodeVersion, error) {
	const action = "ListRoutineCodeVersions"
	key := func(v CodeVersion) string { return v.Number }
	return all(action, maxVersionPages, key, func(number int) (p page[CodeVersion], err error) {
		err = c.call(ctx, action, func(ctx context.Context) error {
			res, err := c.sdk.ListRoutineCodeVersionsWithContext(ctx, &sdk.ListRoutineCodeVersionsRequest{
				Name: &name, PageNumber: dara.Int64(int64(number)), PageSize: dara.Int64(pageSize),
			}, &dara.RuntimeOptions{})
			if err != nil {
				return err
			}
			p, err = readVersions(res.Body)
			return err
		})
		return p, err
	})
}

func readVersions(body *sdk.ListRoutineCodeVersionsResponseBody) (p page[CodeVersion], err error) {
	if body == nil || body.TotalCount == nil {
		return p, unusable("no TotalCount in the answer")
	}
	p.total = *body.TotalCount
	for _, v := range body.CodeVersions {
		if v == nil || dara.StringValue(v.CodeVersion) == "" {
			return p, unusable("a version without its CodeVersion in the answer")
		}
		p.items = append(p.items, CodeVersion{
			Number: *v.CodeVersion, Description: dara.StringValue(v.CodeDescription), CreateTime: createTime(dara.StringValue(v.CreateTime)),
			Status: dara.StringValue(v.Status),
		})
	}
	return p, nil
}

// Code returns the code of a version, byte for byte.
func (c *Client) Code(ctx context.Context, name, number string) (code []byte, err error) {
	err = c.call(ctx, "GetRoutineCodeVersion", func(ctx context.Context) error {
		res, err := c.sdk.GetRoutineCodeVersionWithContext(ctx, &sdk.GetRoutineCodeVersionRequest{Name: &name, CodeVersion: &number}, &dara.RuntimeOptions{})
		if err != nil {
			return err
		}
		if res.Body == nil || res.Body.RoutineCode == nil {
			return unusable("no RoutineCode in the answer")
		}
		if code, err = base64.StdEncoding.DecodeString(*res.Body.RoutineCode); err != nil {
			return unusable("RoutineCode is not Base64")
		}
		return nil
	})
	return code, err
}

// DeleteCodeVersion deletes a version. It returns nil only if ESA said Status OK. ESA refuses, it is thought with DependedByOthers, one that is deployed.
func (c *Client) DeleteCodeVersion(ctx context.Context, name, number string) error {
	return c.call(ctx, "DeleteRoutineCodeVersion", func(ctx context.Context) error {
		res, err := c.sdk.DeleteRoutineCodeVersionWithContext(ctx, &sdk.DeleteRoutineCodeVersionRequest{Name: &name, CodeVersion: &number}, &dara.RuntimeOptions{})
		if err != nil {
			return err
		}
		if res.Body == nil || dara.StringValue(res.Body.Status) != statusOK {
			return unusable("no Status OK in the answer")
		}
		return nil
	})
}

// Deploy lets a version take all requests of an environment. It takes the place of what was deployed there, and may be repeated.
func (c *Client) Deploy(ctx context.Context, name string, env Environment, number string) error {
	const all = 100
	return c.call(ctx, "CreateRoutineCodeDeployment", func(ctx context.Context) error {
		res, err := c.sdk.CreateRoutineCodeDeploymentWithContext(ctx, &sdk.CreateRoutineCodeDeploymentRequest{
			Name: &name, Env: &env, Strategy: dara.String("percentage"),
			CodeVersions: []*sdk.CreateRoutineCodeDeploymentRequestCodeVersions{{CodeVersion: &number, Percentage: dara.Int64(all)}},
		}, &dara.RuntimeOptions{})
		if err != nil {
			return err
		}
		if res.Body == nil || dara.StringValue(res.Body.DeploymentId) == "" {
			return unusable("no DeploymentId in the answer")
		}
		return nil
	})
}

// VersionQuota is how many versions the code of a routine may have: the smallest number of the account's plans.
func (c *Client) VersionQuota(ctx context.Context) (quota int, err error) {
	const action = "ListEdgeRoutinePlans"
	err = c.call(ctx, action, func(ctx context.Context) error {
		// The SDK has no method for this action that takes a context.
		raw, err := c.sdk.CallApiWithCtx(ctx, &openapiutil.Params{
			Action: dara.String(action), Version: dara.String("2024-09-10"), Protocol: dara.String("HTTPS"), Pathname: dara.String("/"), Method: dara.String("GET"),
			AuthType: dara.String("AK"), Style: dara.String("RPC"), ReqBodyType: dara.String("formData"), BodyType: dara.String("json"),
		}, &openapiutil.OpenApiRequest{}, &dara.RuntimeOptions{})
		if err != nil {
			return err
		}
		var res sdk.ListEdgeRoutinePlansResponse
		if err := dara.Convert(raw, &res); err != nil || res.Body == nil {
			return unusable("no PlanInfo in the answer")
		}
		for _, plan := range res.Body.PlanInfo {
			if plan == nil {
				continue
			}
			if n, err := strconv.Atoi(dara.StringValue(plan.ErRoutineCodeVersionQuota)); err == nil && n > 0 && (quota == 0 || n < quota) {
				quota = n
			}
		}
		if quota == 0 {
			return unusable("no ErRoutineCodeVersionQuota in the answer")
		}
		return nil
	})
	return quota, err
}

// post sends a form with the code to the storage. Its fields are in the order in which official tools send them; the file is the last, since what
// comes behind it is not read.
func (c *Client) post(ctx context.Context, form map[string]string, code []byte) error {
	const action = "PostObject"
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	body := bytes.NewBuffer(make([]byte, 0, len(code)+8<<10))
	w := multipart.NewWriter(body)
	form["x-oss-security-token"] = form["XOssSecurityToken"]
	for _, name := range []string{"OSSAccessKeyId", "Signature", "callback", "x:codeDescription", "policy", "key", "x-oss-security-token"} {
		if value := form[name]; value != "" {
			if err := w.WriteField(name, value); err != nil {
				return classify(action, err, answer{})
			}
		}
	}
	file, err := w.CreateFormFile("file", "index.js")
	if err == nil {
		_, err = file.Write(code)
	}
	if err = errors.Join(err, w.Close()); err != nil {
		return classify(action, err, answer{})
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, form["Url"], body)
	if err != nil {
		return classify(action, unusable("the Url in the OssPostConfig is no address"), answer{})
	}
	req.Header.Set("Content-Type", w.FormDataContentType())
	res, err := c.wire.transport.RoundTrip(req)
	if err != nil {
		lost := classify(action, transportFault(err), answer{})
		lost.OutcomeUnknown = false // an upload changes nothing that anybody uses
		return lost
	}
	defer res.Body.Close()
	said, _ := io.ReadAll(io.LimitReader(res.Body, storageAnswerLimit)) // a text for people: what it lacks is not missed
	if res.StatusCode == http.StatusOK {
		return nil
	}
	refused := storageFault(res, said)
	refused.Step = action
	return refused
}
