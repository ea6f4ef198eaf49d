// Takes a picture of a page once every panel has drawn: node shot.mjs URL PICTURE. Prints what the page reports, as JSON.
import puppeteer from 'puppeteer-core';
const [, , url, picture] = process.argv;
const browser = await puppeteer.launch({ executablePath: process.env.CHROMIUM, headless: true, args: ['--no-sandbox', '--disable-gpu'] });
try {
  const page = await browser.newPage();
  const problems = [];
  page.on('pageerror', (error) => problems.push(String(error.stack || error).slice(0, 600)));
  await page.setViewport({ width: 1600, height: 1200 });
  await page.goto(url, { waitUntil: 'load' });
  await page.waitForFunction(() => window.settled && window.settled(), { timeout: 180000, polling: 500 });
  const height = await page.evaluate(() => Math.ceil(document.getElementById('root').getBoundingClientRect().height));
  await page.setViewport({ width: 1600, height });
  await new Promise((done) => setTimeout(done, 1500)); // the last resize draws once more
  await page.screenshot({ path: picture });
  console.log(JSON.stringify({ ...(await page.evaluate(() => window.report)), problems }));
} finally {
  await browser.close();
}
