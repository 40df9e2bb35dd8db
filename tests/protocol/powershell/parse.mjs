// usage: node parse.mjs SCRIPT < powershell: prints as JSON where it is not PowerShell, its functions
// and every command that it calls, with the parameters of the call.
import fs from 'node:fs';
import { createRequire } from 'node:module';
import { Language, Parser } from 'web-tree-sitter';

const files = createRequire(import.meta.url);
await Parser.init();
const parser = new Parser();
parser.setLanguage(
    await Language.load(files.resolve('tree-sitter-powershell/tree-sitter-powershell.wasm')));
const { rootNode } = parser.parse(fs.readFileSync(0, 'utf8'));

const errors = [];
function findErrors(node) {
    if (node.isError || node.isMissing)
        errors.push(`line ${node.startPosition.row + 1}: ${node.text.slice(0, 80)}`);
    node.children.forEach(findErrors);
}
if (rootNode.hasError) findErrors(rootNode);

function functionAround(node) {
    for (let parent = node.parent; parent; parent = parent.parent)
        if (parent.type === 'function_statement')
            return parent.descendantsOfType('function_name')[0].text;
    return null;
}

const calls = rootNode.descendantsOfType('command').map((command) => ({
    name: command.descendantsOfType('command_name')[0]?.text ?? null,
    parameters: command.descendantsOfType('command_parameter').map((node) => node.text),
    inside: functionAround(command),
}));
const functions = rootNode.descendantsOfType('function_name').map((node) => node.text);
console.log(JSON.stringify({ errors, functions, calls }));
