// Only what makes the page handier: tips, the trial that is pointed at in every picture, sorting.
(() => {
  const tip = document.createElement('div');
  tip.className = 'tip';
  tip.hidden = true;
  document.body.append(tip);
  const texts = new WeakMap();
  let hot = [];

  const text = (mark) => {
    const title = mark.querySelector(':scope > title');
    if (title) {
      // The browser's own tip would show beside this one.
      texts.set(mark, title.textContent);
      mark.setAttribute('aria-label', title.textContent);
      title.remove();
    }
    return texts.get(mark);
  };
  const leave = () => {
    hot.forEach((mark) => mark.classList.remove('hot'));
    hot = [];
    tip.hidden = true;
  };
  const enter = (event) => {
    const mark = event.target.closest('svg [data-t], svg *, tr[data-t]');
    leave();
    if (!mark) return;
    if (mark.dataset.t) {
      hot = [...document.querySelectorAll(`[data-t="${mark.dataset.t}"]`)];
      hot.forEach((other) => other.classList.add('hot'));
    }
    const words = mark.closest('svg') && text(mark);
    if (!words) return;
    tip.textContent = words;
    tip.hidden = false;
    const right = document.documentElement.clientWidth - tip.offsetWidth - 8;
    tip.style.left = `${Math.max(8, Math.min(event.pageX + 12, right + scrollX))}px`;
    tip.style.top = `${event.pageY + 14}px`;
  };
  document.addEventListener('pointerover', enter);
  document.addEventListener('pointerdown', enter);

  const value = (row, column) => row.cells[column].textContent.trim();
  const compare = (left, right) => {
    const numbers = [parseFloat(left), parseFloat(right)];
    if (numbers.every((number) => !isNaN(number))) return numbers[0] - numbers[1];
    if (numbers.some((number) => !isNaN(number))) return isNaN(numbers[0]) ? 1 : -1;
    return left.localeCompare(right);
  };
  document.querySelectorAll('table.sortable').forEach((table) => {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      const button = document.createElement('button');
      button.textContent = head.textContent;
      head.replaceChildren(button);
      button.addEventListener('click', () => {
        const down = head.getAttribute('aria-sort') === 'ascending';
        heads.forEach((other) => other.removeAttribute('aria-sort'));
        head.setAttribute('aria-sort', down ? 'descending' : 'ascending');
        const body = table.tBodies[0];
        const rows = [...body.rows].sort((a, b) => compare(value(a, column), value(b, column)));
        body.append(...(down ? rows.reverse() : rows));
      });
    });
  });

  const links = new Map([...document.querySelectorAll('nav a')].map((link) => [link.hash.slice(1), link]));
  const watch = new IntersectionObserver((entries) => {
    entries.forEach((entry) => links.get(entry.target.id).classList.toggle('here', entry.isIntersecting));
  }, { rootMargin: '-20% 0px -75% 0px' });
  document.querySelectorAll('main > section').forEach((section) => watch.observe(section));
})();
