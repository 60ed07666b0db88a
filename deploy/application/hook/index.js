// What `s init` runs before and after it makes a project. It changes nothing: it says what Serverless Devs cannot make.
'use strict';

async function preInit() {}

async function postInit() {
  console.log(`
  Roles, queues and tables are made by the program routinely, not by Serverless Devs. Before the first deployment, see readme.md:
  角色、队列和表由程序 routinely 创建，而不是 Serverless Devs。首次部署之前请看 readme.zh-CN.md：

    . ./settings.env
    routinely setup rights --deployer USER
    routinely setup --tablestore-networks CLASSIC,VPC,INTERNET
`);
}

module.exports = { preInit, postInit };
