package cloud

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	openapi "github.com/alibabacloud-go/darabonba-openapi/v2/client"
	openapiutil "github.com/alibabacloud-go/darabonba-openapi/v2/utils"
	"github.com/alibabacloud-go/tea/dara"

	"routinely/shared/fault"
)

// Networks are those that an instance of Tablestore can be open to: the classic network, by which services in the region reach it, VPCs
// and the internet (CreateInstance page).
func Networks() []string { return []string{"CLASSIC", "VPC", "INTERNET"} }

// InstancesConfig is what Instances needs.
type InstancesConfig struct {
	Access
	// Endpoint is that of Tablestore's management, such as tablestore.cn-hangzhou.aliyuncs.com. Required.
	Endpoint string
}

// Instances makes instances of Tablestore and sets which networks reach them. It makes one call at a time.
type Instances struct {
	caller
	api *openapi.Client
}

// NewInstances checks the configuration and returns a client. It makes no call.
func NewInstances(cfg InstancesConfig) (*Instances, error) {
	w := newWire()
	api, err := cfg.general(cfg.Endpoint, w)
	if err != nil {
		return nil, fmt.Errorf("tablestore instances: %w", err)
	}
	return &Instances{caller: caller{w, cfg.Timeout}, api: api}, nil
}

// Open makes an instance if it is missing, open to the networks alone, or opens one to those that cannot reach it yet. It says what it
// changed. made tells that there was none, also in a dry run.
func (i *Instances) Open(ctx context.Context, name string, networks []string, dryRun bool) (changes []string, made bool, err error) {
	have, err := i.networks(ctx, name)
	if fault.HasKind(err, fault.NotFound) {
		text := fmt.Sprintf("create Tablestore instance %s, open to %s", name, listed(networks))
		changes, err = i.change(ctx, dryRun, text, "CreateInstance", func() error {
			return i.post("CreateInstance", map[string]any{
				"InstanceName": name, "ClusterType": "SSD", "InstanceDescription": "The jobs of Routinely", "NetworkTypeACL": networks,
			})
		})
		return changes, err == nil, err
	}
	if err != nil {
		return nil, false, err
	}
	all := slices.Clone(have)
	for _, network := range networks {
		if !slices.Contains(have, network) {
			all = append(all, network)
		}
	}
	if len(all) == len(have) {
		return nil, false, nil
	}
	changes, err = i.update(ctx, name, all, have, dryRun)
	return changes, false, err
}

// Narrow closes an instance to all other networks than those given. It says what it changed.
func (i *Instances) Narrow(ctx context.Context, name string, networks []string, dryRun bool) (changes []string, err error) {
	have, err := i.networks(ctx, name)
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(have, func(network string) bool { return !slices.Contains(networks, network) }) {
		return nil, nil
	}
	return i.update(ctx, name, networks, have, dryRun)
}

// Remove deletes an instance, which must have no table left, and says so; one that is not there is no failure.
func (i *Instances) Remove(ctx context.Context, name string, dryRun bool) (changes []string, err error) {
	_, err = i.networks(ctx, name)
	if fault.HasKind(err, fault.NotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return i.change(ctx, dryRun, "delete Tablestore instance "+name, "DeleteInstance", func() error {
		return i.post("DeleteInstance", map[string]any{"InstanceName": name})
	})
}

func (i *Instances) update(ctx context.Context, name string, want, have []string, dryRun bool) ([]string, error) {
	text := fmt.Sprintf("open Tablestore instance %s to %s instead of %s", name, listed(want), listed(have))
	return i.change(ctx, dryRun, text, "UpdateInstance", func() error {
		return i.post("UpdateInstance", map[string]any{"InstanceName": name, "NetworkTypeACL": want})
	})
}

// networks returns those that reach an instance. A missing one is a fault of kind NotFound.
func (i *Instances) networks(ctx context.Context, name string) (have []string, err error) {
	err = i.call(ctx, "GetInstance", func() error {
		answer, err := i.api.CallApi(i.params("GetInstance", "GET"), &openapiutil.OpenApiRequest{
			Query: map[string]*string{"InstanceName": &name},
		}, &dara.RuntimeOptions{})
		if err != nil {
			return err
		}
		var body struct {
			NetworkTypeACL []string
		}
		text, err := json.Marshal(answer["body"])
		if err == nil {
			err = json.Unmarshal(text, &body)
		}
		have = body.NetworkTypeACL
		return err
	})
	return have, err
}

func (i *Instances) post(action string, body map[string]any) error {
	_, err := i.api.CallApi(i.params(action, "POST"), &openapiutil.OpenApiRequest{Body: body}, &dara.RuntimeOptions{})
	return err
}

// params describe an action of the API, whose paths are made of the action's name in lower case.
func (i *Instances) params(action, method string) *openapiutil.Params {
	return &openapiutil.Params{
		Action: dara.String(action), Version: dara.String("2020-12-09"), Protocol: dara.String("HTTPS"),
		Pathname: dara.String("/v2/openapi/" + strings.ToLower(action)), Method: dara.String(method), AuthType: dara.String("AK"),
		Style: dara.String("ROA"), ReqBodyType: dara.String("json"), BodyType: dara.String("json"),
	}
}

// listed are networks in the order of Networks.
func listed(networks []string) string {
	var out []string
	for _, network := range Networks() {
		if slices.Contains(networks, network) {
			out = append(out, network)
		}
	}
	if len(out) == 0 {
		return "no network"
	}
	return strings.Join(out, ", ")
}
