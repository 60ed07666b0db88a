package cloud

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"

	openapi "github.com/alibabacloud-go/darabonba-openapi/v2/client"
	openapiutil "github.com/alibabacloud-go/darabonba-openapi/v2/utils"
	ram "github.com/alibabacloud-go/ram-20150501/v2/client"
	teautil "github.com/alibabacloud-go/tea-utils/v2/service"
	"github.com/alibabacloud-go/tea/dara"

	"routinely/shared/fault"
)

// Role is a role with its trust policy, which says who may take it.
type Role struct{ Name, Description, Trust string }

// Policy is a custom policy of the account.
type Policy struct{ Name, Description, Document string }

// ServiceRole is a role that belongs to a service: the service decides what it may, the account only lets it be made.
type ServiceRole struct{ Name, Service string }

// RightsConfig is what Rights needs.
type RightsConfig struct {
	Access
	// RAM and ResourceManager are endpoints, such as ram.aliyuncs.com. Required.
	RAM, ResourceManager string
}

// Rights makes roles and policies. It makes one call at a time.
type Rights struct {
	caller
	ram      *ram.Client
	resource *openapi.Client
}

// NewRights checks the configuration and returns a client. It makes no call.
func NewRights(cfg RightsConfig) (*Rights, error) {
	w := newWire()
	settings, err := cfg.settings(cfg.RAM, w)
	if err != nil {
		return nil, fmt.Errorf("ram: %w", err)
	}
	client, err := ram.NewClient(settings)
	if err != nil {
		return nil, fmt.Errorf("ram: %w", err)
	}
	client.DisableSDKError = dara.Bool(true)
	resource, err := cfg.general(cfg.ResourceManager, w)
	if err != nil {
		return nil, fmt.Errorf("resource management: %w", err)
	}
	return &Rights{caller: caller{w, cfg.Timeout}, ram: client, resource: resource}, nil
}

// none are the SDK's settings for one call: its defaults.
func none() *teautil.RuntimeOptions { return &teautil.RuntimeOptions{} }

// SetUpRole makes a role if it is missing, or gives it the trust policy it should have, and says what it changed.
func (r *Rights) SetUpRole(ctx context.Context, role Role, dryRun bool) (changes []string, err error) {
	var found *ram.GetRoleResponse
	err = r.call(ctx, "GetRole", func() (err error) {
		found, err = r.ram.GetRoleWithOptions(&ram.GetRoleRequest{RoleName: &role.Name}, none())
		return err
	})
	if fault.HasCode(err, "EntityNotExist.Role") {
		return r.change(ctx, dryRun, "create role "+role.Name, "CreateRole", func() error {
			_, err := r.ram.CreateRoleWithOptions(&ram.CreateRoleRequest{
				RoleName: &role.Name, Description: &role.Description, AssumeRolePolicyDocument: &role.Trust,
			}, none())
			return err
		})
	}
	if err != nil || found.Body.Role != nil && sameJSON(dara.StringValue(found.Body.Role.AssumeRolePolicyDocument), role.Trust) {
		return nil, err
	}
	return r.change(ctx, dryRun, "change who may take the role "+role.Name, "UpdateRole", func() error {
		_, err := r.ram.UpdateRoleWithOptions(&ram.UpdateRoleRequest{RoleName: &role.Name, NewAssumeRolePolicyDocument: &role.Trust}, none())
		return err
	})
}

// customPolicy is the type of policies that belong to the account.
const customPolicy = "Custom"

// rotateVersions lets RAM delete the oldest version that is not in force: a policy has five at most, and the sixth would fail.
const rotateVersions = "DeleteOldestNonDefaultVersionWhenLimitExceeded"

// SetUpPolicy makes a policy if it is missing, or puts a new version of it in force, and says what it changed.
func (r *Rights) SetUpPolicy(ctx context.Context, p Policy, dryRun bool) (changes []string, err error) {
	var found *ram.GetPolicyResponse
	err = r.call(ctx, "GetPolicy", func() (err error) {
		found, err = r.ram.GetPolicyWithOptions(&ram.GetPolicyRequest{PolicyName: &p.Name, PolicyType: dara.String(customPolicy)}, none())
		return err
	})
	if fault.HasCode(err, "EntityNotExist.Policy") {
		return r.change(ctx, dryRun, "create policy "+p.Name, "CreatePolicy", func() error {
			_, err := r.ram.CreatePolicyWithOptions(&ram.CreatePolicyRequest{
				PolicyName: &p.Name, Description: &p.Description, PolicyDocument: &p.Document,
			}, none())
			return err
		})
	}
	if err != nil {
		return nil, err
	}
	inForce := found.Body.DefaultPolicyVersion
	if inForce != nil && sameJSON(dara.StringValue(inForce.PolicyDocument), p.Document) {
		return nil, nil
	}
	return r.change(ctx, dryRun, "change policy "+p.Name, "CreatePolicyVersion", func() error {
		_, err := r.ram.CreatePolicyVersionWithOptions(&ram.CreatePolicyVersionRequest{
			PolicyName: &p.Name, PolicyDocument: &p.Document, SetAsDefault: dara.Bool(true), RotateStrategy: dara.String(rotateVersions),
		}, none())
		return err
	})
}

// AttachToRole gives a role a policy unless it has it, and says what it changed. In a dry run the role may be missing.
func (r *Rights) AttachToRole(ctx context.Context, policy, role string, dryRun bool) (changes []string, err error) {
	attached := false
	err = r.call(ctx, "ListPoliciesForRole", func() error {
		found, err := r.ram.ListPoliciesForRoleWithOptions(&ram.ListPoliciesForRoleRequest{RoleName: &role}, none())
		if err != nil || found.Body.Policies == nil {
			return err
		}
		for _, one := range found.Body.Policies.Policy {
			attached = attached || dara.StringValue(one.PolicyName) == policy && dara.StringValue(one.PolicyType) == customPolicy
		}
		return nil
	})
	if dryRun && fault.HasCode(err, "EntityNotExist.Role") {
		err = nil
	}
	if err != nil || attached {
		return nil, err
	}
	return r.change(ctx, dryRun, fmt.Sprintf("attach policy %s to role %s", policy, role), "AttachPolicyToRole", func() error {
		_, err := r.ram.AttachPolicyToRoleWithOptions(&ram.AttachPolicyToRoleRequest{
			PolicyType: dara.String(customPolicy), PolicyName: &policy, RoleName: &role,
		}, none())
		return err
	})
}

// AttachToUser is AttachToRole for a user, who must be there.
func (r *Rights) AttachToUser(ctx context.Context, policy, user string, dryRun bool) (changes []string, err error) {
	attached := false
	err = r.call(ctx, "ListPoliciesForUser", func() error {
		found, err := r.ram.ListPoliciesForUserWithOptions(&ram.ListPoliciesForUserRequest{UserName: &user}, none())
		if err != nil || found.Body.Policies == nil {
			return err
		}
		for _, one := range found.Body.Policies.Policy {
			attached = attached || dara.StringValue(one.PolicyName) == policy && dara.StringValue(one.PolicyType) == customPolicy
		}
		return nil
	})
	if err != nil || attached {
		return nil, err
	}
	return r.change(ctx, dryRun, fmt.Sprintf("attach policy %s to user %s", policy, user), "AttachPolicyToUser", func() error {
		_, err := r.ram.AttachPolicyToUserWithOptions(&ram.AttachPolicyToUserRequest{
			PolicyType: dara.String(customPolicy), PolicyName: &policy, UserName: &user,
		}, none())
		return err
	})
}

// HasRole reports whether there is a role.
func (r *Rights) HasRole(ctx context.Context, name string) (bool, error) {
	err := r.call(ctx, "GetRole", func() error {
		_, err := r.ram.GetRoleWithOptions(&ram.GetRoleRequest{RoleName: &name}, none())
		return err
	})
	if fault.HasCode(err, "EntityNotExist.Role") {
		return false, nil
	}
	return err == nil, err
}

// SetUpServiceRole lets a service's role be made if it is missing, and says so.
func (r *Rights) SetUpServiceRole(ctx context.Context, role ServiceRole, dryRun bool) (changes []string, err error) {
	there, err := r.HasRole(ctx, role.Name)
	if there || err != nil {
		return nil, err
	}
	text := fmt.Sprintf("create role %s of the service %s", role.Name, role.Service)
	changes, err = r.change(ctx, dryRun, text, "CreateServiceLinkedRole", func() error {
		_, err := r.resource.CallApi(&openapiutil.Params{
			Action: dara.String("CreateServiceLinkedRole"), Version: dara.String("2020-03-31"), Protocol: dara.String("HTTPS"),
			Pathname: dara.String("/"), Method: dara.String("POST"), AuthType: dara.String("AK"), Style: dara.String("RPC"),
			ReqBodyType: dara.String("formData"), BodyType: dara.String("json"),
		}, &openapiutil.OpenApiRequest{Query: map[string]*string{"ServiceName": &role.Service}}, &dara.RuntimeOptions{})
		return err
	})
	if fault.HasCode(err, "EntityAlreadyExists.Role") { // under a name that was not looked for
		return nil, nil
	}
	return changes, err
}

// change makes a call that changes something, except in a dry run, and says what it is.
func (c caller) change(ctx context.Context, dryRun bool, text, action string, do func() error) (changes []string, err error) {
	if !dryRun {
		if err := c.call(ctx, action, do); err != nil {
			return nil, err
		}
	}
	return []string{text}, nil
}

// sameJSON reports whether two documents say the same, whatever their spaces and the order of their keys.
func sameJSON(a, b string) bool {
	var first, second any
	if json.Unmarshal([]byte(a), &first) != nil || json.Unmarshal([]byte(b), &second) != nil {
		return false
	}
	return reflect.DeepEqual(first, second)
}
