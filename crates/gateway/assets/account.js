// Where the links of mails lead: accept an invitation, confirm an address, set a new password.
// The token comes behind the #, so that no server and no log sees it, and is taken out of the address at once.
"use strict";
const [action, token] = location.hash.slice(1).split("=");
history.replaceState(null, "", location.pathname);
const at = (id) => document.getElementById(id);
const say = (text) => { at("state").textContent = text; };
const value = (id) => at(id).value;
const actions = {
  invitation: {
    title: "Accept the invitation", fields: ["name", "password"],
    path: "/api/v1/auth/accept-invitation",
    body: () => ({ token, password: value("password"), ...(value("name") ? { name: value("name") } : {}) }),
    done: "You are in. Sign in with your address and password.",
  },
  verify: {
    title: "Confirm your address", fields: [], path: "/api/v1/auth/verify-email",
    body: () => ({ token }), done: "The address is confirmed.",
  },
  reset: {
    title: "Set a new password", fields: ["password"], path: "/api/v1/auth/reset-password",
    body: () => ({ token, newPassword: value("password") }), done: "The new password is set. All sessions have ended.",
  },
  forgot: {
    title: "Set a new password", fields: ["email"], path: "/api/v1/auth/forgot-password",
    body: () => ({ email: value("email") }), done: "If there is somebody with this address, a mail is on its way.",
  },
};
const chosen = actions[action || "forgot"];
if (chosen) {
  at("title").textContent = chosen.title;
  for (const field of chosen.fields) { at("row-" + field).hidden = false; at(field).required = field !== "name"; }
  at("password").autocomplete = action === "invitation" ? "current-password" : "new-password";
  at("form").hidden = false;
} else {
  say("This link leads nowhere.");
}
at("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  at("go").disabled = true;
  say("One moment …");
  try {
    const answer = await fetch(chosen.path, {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(chosen.body()),
    });
    const told = await answer.json().catch(() => ({}));
    if (answer.ok) { at("form").hidden = true; say(chosen.done); return; }
    const first = (told.errors || [])[0];
    say(first ? first.pointer + ": " + first.message : told.detail || "That did not work.");
  } catch {
    say("The server cannot be reached.");
  }
  at("go").disabled = false;
});
