// A stand-in for the component fc3 of Serverless Devs: it has the component's schema, and writes down what it is told to do instead of
// doing it, a JSON object a line, into the file that WALK_CALLS names. As the component, it returns the variables of a function for the tool to
// print. It fails for the resource that WALK_FAILS names. See deploy/walk_test.go.
'use strict';
const fs = require('fs');
const path = require('path');

class Component {
  async getSchema() {
    return fs.readFileSync(path.join(__dirname, 'schema.json'), 'utf8');
  }

  async deploy(inputs) {
    return this.note('deploy', inputs);
  }

  async remove(inputs) {
    return this.note('remove', inputs);
  }

  async note(command, inputs) {
    const credential = await inputs.getCredential();
    const call = { command, resource: inputs.resource.name, props: inputs.props, temporary: Boolean(credential.SecurityToken) };
    fs.appendFileSync(process.env.WALK_CALLS, JSON.stringify(call) + '\n');
    const environmentVariables = inputs.props.environmentVariables;
    if (process.env.WALK_FAILS === call.resource) {
      throw new Error(`cannot ${command}: ${JSON.stringify({ environmentVariables })}`);
    }
    return { environmentVariables };
  }
}

exports.default = Component;
