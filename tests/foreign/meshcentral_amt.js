// Drives MeshCentral's own AMT code against one machine and prints the results as one JSON object at the end.
//
//   meshcentral_amt.js FOLDER HOST PORT USER PASSWORD STEP...
//
// A step is power:NUMBER, boot:NAME, setup, inventory, log, audit or state. Each begins after the answer to the
// previous one. Ends with 1 when a step gets no answer, so that a skipped step cannot pass.
'use strict';

const path = require('path');
const [folder, host, port, user, password, ...steps] = process.argv.slice(2);
const load = (name) => require(path.join(folder, name));
const comm = load('amt-wsman-comm.js')(host, parseInt(port, 10), user, password, 0, null, null);
const amt = load('amt.js')(load('amt-wsman.js')(comm));
// How long a step may take: five tries half a second apart, and some air.
const STEP_TIME_MS = 15000;

const source = (name) =>
  '<Address xmlns="http://schemas.xmlsoap.org/ws/2004/08/addressing">http://schemas.xmlsoap.org/ws/2004/08/addressing' +
  '</Address><ReferenceParameters xmlns="http://schemas.xmlsoap.org/ws/2004/08/addressing"><ResourceURI ' +
  'xmlns="http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd">http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/' +
  'CIM_BootSourceSetting</ResourceURI><SelectorSet xmlns="http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd">' +
  `<Selector Name="InstanceID">Intel(r) AMT: ${name}</Selector></SelectorSet></ReferenceParameters>`;

// A call whose last parameter is a callback of (stack, name, answer, status), as a promise.
function ask(call) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error('no answer')), STEP_TIME_MS);
    call((stack, name, answer, status) => {
      clearTimeout(timer);
      resolve({ status, answer });
    });
  });
}

async function returns(call) {
  const { status, answer } = await ask(call);
  return { status, value: answer && answer.Body ? answer.Body.ReturnValue : null };
}

// The settings of the next boot, as MeshCentral's own pages put them: read, strip what cannot be set, set the rest.
async function settings(change) {
  const read = await ask((done) => amt.Get('AMT_BootSettingData', done, 0, 1));
  if (read.status !== 200) return { status: read.status };
  const data = read.answer.Body;
  for (const name of ['WinREBootEnabled', 'UEFILocalPBABootEnabled', 'UEFIHTTPSBootEnabled', 'SecureBootControlEnabled',
    'BootguardStatus', 'OptionsCleared', 'BIOSLastStatus', 'UefiBootParametersArray', 'RPEEnabled']) delete data[name];
  Object.assign(data, change);
  return ask((done) => amt.Put('AMT_BootSettingData', data, done, 0, 1));
}

async function override(change, name) {
  const order = (text) => returns((done) => amt.CIM_BootConfigSetting_ChangeBootOrder(text, done));
  const cleared = await order(null);
  const put = await settings(change);
  const role = await returns((done) => amt.SetBootConfigRole(1, done));
  const ordered = name ? await order(source(name)) : cleared;
  return { values: [cleared.value, role.value, ordered.value], put: put.status };
}

const actions = {
  power: (number) => returns((done) => amt.RequestPowerStateChange(parseInt(number, 10), done)),
  boot: (name) => override({ BIOSSetup: false, UseIDER: false, UseSOL: false }, name),
  setup: () => override({ BIOSSetup: true, UseIDER: false, UseSOL: false }, null),
  state: async () => {
    const { status, answer } = await ask((done) => amt.Enum('CIM_ServiceAvailableToElement', done, 0, 1));
    return { status, power: status === 200 ? answer[0].PowerState : null };
  },
  inventory: async () => {
    const names = ['*CIM_ComputerSystemPackage', 'CIM_SystemPackaging', '*CIM_Chassis', 'CIM_Chip', '*CIM_Card',
      '*CIM_BIOSElement', 'CIM_Processor', 'CIM_PhysicalMemory', 'CIM_MediaAccessDevice', 'CIM_PhysicalPackage',
      'CIM_SoftwareIdentity', 'AMT_EthernetPortSettings', '*AMT_GeneralSettings', '*AMT_SetupAndConfigurationService'];
    const { status, answer } = await ask((done) => amt.BatchEnum('', names, done, 0, true));
    const all = {};
    for (const name in answer) all[name] = answer[name].responses || answer[name].response;
    return { status, all };
  },
  log: () => new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error('no log')), STEP_TIME_MS);
    amt.GetMessageLog((stack, records, tag, status) => {
      clearTimeout(timer);
      resolve({ status, records: (records || []).map((one) => one.Desc) });
    });
  }),
  audit: () => new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error('no audit log')), STEP_TIME_MS);
    amt.GetAuditLog((stack, records, status) => {
      clearTimeout(timer);
      resolve({ status, records: (records || []).map((one) => `${one.Event} by ${one.Initiator}`) });
    });
  }),
};

(async () => {
  const said = [];
  for (const step of steps) {
    const [name, ...rest] = step.split(':');
    said.push(await actions[name](rest.join(':')));
  }
  process.stdout.write(JSON.stringify({ said, version: comm.amtVersion, qop: (comm.challengeParams || {}).qop }) + '\n');
  process.exit(0);
})().catch((error) => {
  console.error(String(error && error.stack ? error.stack : error));
  process.exit(1);
});
