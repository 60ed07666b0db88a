package cloud

import (
	"context"
	"fmt"

	ram "github.com/alibabacloud-go/ram-20150501/v2/client"
	"github.com/alibabacloud-go/tea/dara"

	"routinely/shared/fault"
)

// RemovePolicy takes a policy from the roles and users who have it and deletes it with all its versions: RAM deletes no policy that
// somebody has or that has a version which is not in force. It says what it changed; a policy that is not there is no failure. A group
// that has it is left alone, and the policy too, which RAM then refuses to delete.
func (r *Rights) RemovePolicy(ctx context.Context, name string, dryRun bool) (changes []string, err error) {
	kind := dara.String(customPolicy)
	var held *ram.ListEntitiesForPolicyResponse
	err = r.call(ctx, "ListEntitiesForPolicy", func() (err error) {
		held, err = r.ram.ListEntitiesForPolicyWithOptions(&ram.ListEntitiesForPolicyRequest{PolicyName: &name, PolicyType: kind}, none())
		return err
	})
	if fault.HasCode(err, "EntityNotExist.Policy") {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	steps := r.detaching(name, held.Body)
	var versions *ram.ListPolicyVersionsResponse
	err = r.call(ctx, "ListPolicyVersions", func() (err error) {
		versions, err = r.ram.ListPolicyVersionsWithOptions(&ram.ListPolicyVersionsRequest{PolicyName: &name, PolicyType: kind}, none())
		return err
	})
	if err != nil {
		return nil, err
	}
	for _, version := range versions.Body.PolicyVersions.PolicyVersion {
		if !dara.BoolValue(version.IsDefaultVersion) {
			text := fmt.Sprintf("delete version %s of policy %s", dara.StringValue(version.VersionId), name)
			steps = append(steps, step{text, "DeletePolicyVersion", func() error {
				_, err := r.ram.DeletePolicyVersionWithOptions(&ram.DeletePolicyVersionRequest{PolicyName: &name, VersionId: version.VersionId}, none())
				return err
			}})
		}
	}
	steps = append(steps, step{"delete policy " + name, "DeletePolicy", func() error {
		_, err := r.ram.DeletePolicyWithOptions(&ram.DeletePolicyRequest{PolicyName: &name}, none())
		return err
	}})
	return r.all(ctx, dryRun, steps)
}

// step is a call that changes something.
type step struct {
	text, action string
	do           func() error
}

// detaching are the steps that take a policy from whoever has it.
func (r *Rights) detaching(policy string, from *ram.ListEntitiesForPolicyResponseBody) []step {
	kind := dara.String(customPolicy)
	var out []step
	if from.Roles != nil {
		for _, role := range from.Roles.Role {
			text := fmt.Sprintf("detach policy %s from role %s", policy, dara.StringValue(role.RoleName))
			out = append(out, step{text, "DetachPolicyFromRole", func() error {
				_, err := r.ram.DetachPolicyFromRoleWithOptions(&ram.DetachPolicyFromRoleRequest{
					PolicyType: kind, PolicyName: &policy, RoleName: role.RoleName,
				}, none())
				return err
			}})
		}
	}
	if from.Users != nil {
		for _, user := range from.Users.User {
			text := fmt.Sprintf("detach policy %s from user %s", policy, dara.StringValue(user.UserName))
			out = append(out, step{text, "DetachPolicyFromUser", func() error {
				_, err := r.ram.DetachPolicyFromUserWithOptions(&ram.DetachPolicyFromUserRequest{
					PolicyType: kind, PolicyName: &policy, UserName: user.UserName,
				}, none())
				return err
			}})
		}
	}
	return out
}

// RemoveRole deletes a role, which must have no policy left, and says so; a role that is not there is no failure.
func (r *Rights) RemoveRole(ctx context.Context, name string, dryRun bool) (changes []string, err error) {
	there, err := r.HasRole(ctx, name)
	if !there || err != nil {
		return nil, err
	}
	return r.change(ctx, dryRun, "delete role "+name, "DeleteRole", func() error {
		_, err := r.ram.DeleteRoleWithOptions(&ram.DeleteRoleRequest{RoleName: &name}, none())
		return err
	})
}

// all makes the calls one after the other and says what they changed.
func (r *Rights) all(ctx context.Context, dryRun bool, steps []step) (changes []string, err error) {
	for _, s := range steps {
		done, err := r.change(ctx, dryRun, s.text, s.action, s.do)
		changes = append(changes, done...)
		if err != nil {
			return changes, err
		}
	}
	return changes, nil
}
