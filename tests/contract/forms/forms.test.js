// The schemas of the catalogue in the libraries that draw forms from JSON Schema.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import { JsonForms } from '@jsonforms/react';
import { vanillaCells, vanillaRenderers } from '@jsonforms/vanilla-renderers';
import Form from '@rjsf/core';
import validator from '@rjsf/validator-ajv8';
import Ajv2020 from 'ajv/dist/2020.js';
import { createElement } from 'react';
import { renderToStaticMarkup } from 'react-dom/server';

const catalogue = JSON.parse(readFileSync(process.env.CATALOGUE ?? 'catalogue.json', 'utf8'));

/** Both schemas of every connection type, with the values of their examples. */
const forms = catalogue.data.flatMap(({ platform, connection_types: types }) =>
  types.flatMap(({ connection_type: type, ...entry }) =>
    ['settings', 'credentials'].map((part) => {
      const schema = entry[`${part}_schema`];
      const values = Object.entries(schema.properties).map(([key, field]) => [key, field.default ?? field.examples[0]]);
      return { name: `${platform} ${type}: ${part}`, schema, data: Object.fromEntries(values), help: entry.fields };
    })));

test('there are forms', () => assert.ok(forms.length > 16));

test('the catalogue has what a form needs beside the schemas', () => {
  assert.deepEqual(Object.keys(catalogue.preset_labels), catalogue.presets);
  for (const { code, title, owner, hint } of catalogue.failure_codes) assert.ok(code && title && owner && hint);
  assert.ok(catalogue.currencies.some(({ code, withdrawn }) => code === 'EUR' && !withdrawn));
  assert.ok(Array.isArray(catalogue.egress_addresses));
});

test('Voluum asks for the id before its secret', () => {
  const { schema } = forms.find(({ name }) => name === 'voluum admin: credentials');
  assert.deepEqual(Object.keys(schema.properties), ['access_key_id', 'access_key']);
});

for (const { name, schema, data, help } of forms) {
  const fields = Object.entries(schema.properties);
  const keys = Object.keys(schema.properties);

  test(`${name}: required fields come first, and each has its help and its message`, () => {
    assert.deepEqual(keys.slice(0, schema.required.length), schema.required);
    const part = name.split(': ')[1];
    const described = help.filter(({ pointer }) => pointer.startsWith(`/${part}/`));
    assert.deepEqual(described.map(({ pointer }) => pointer), keys.map((key) => `/${part}/${key}`));
    for (const { help: text, message } of described) assert.ok(text.length > 10 && message && !message.includes('^'));
  });
  const places = (html) => fields.map(([, { title }]) => html.indexOf(`${title}`));

  test(`${name}: Ajv takes it as strictly as it can, and the examples by it`, () => {
    const ajv = new Ajv2020({ strict: true, allErrors: true, formats: { password: true } });
    const validate = ajv.compile(schema);
    assert.ok(validate(data), JSON.stringify(validate.errors));
    assert.ok(!validate({ ...data, misspelt: 'x' }));
  });

  test(`${name}: rjsf takes the examples and refuses what is missing`, () => {
    assert.deepEqual(validator.validateFormData(data, schema).errors, []);
    const refused = schema.required.length > 0;
    assert.equal(validator.validateFormData({}, schema).errors.length > 0, refused);
  });

  test(`${name}: rjsf draws the fields in the order a person fills them in, secrets hidden`, () => {
    const html = renderToStaticMarkup(createElement(Form, { schema, validator, formData: {} }));
    assert.deepEqual(places(html), [...places(html)].sort((a, b) => a - b));
    assert.ok(places(html).every((place) => place >= 0), html);
    const secrets = fields.filter(([, field]) => field.writeOnly).length;
    assert.equal(html.split('type="password"').length - 1, secrets);
  });

  test(`${name}: JSON Forms draws every field`, () => {
    const props = { schema, data: {}, renderers: vanillaRenderers, cells: vanillaCells };
    const html = renderToStaticMarkup(createElement(JsonForms, props));
    assert.ok(places(html).every((place) => place >= 0), html);
  });
}
